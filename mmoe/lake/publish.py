"""A validated day into the lake as one, or into quarantine with its reason."""

from datetime import date
from typing import Literal

from mmoe.errors import LakeError, PartitionMissingError
from mmoe.lake.manifest import (
    DataFile,
    Manifest,
    Problem,
    SourceFile,
    Validation,
    canonical_digest,
    file_digest,
    from_json,
    to_json,
)
from mmoe.lake.partitions import (
    LAKE_LOCK,
    QUARANTINE,
    manifest_key,
    partition_prefix,
    quarantine_prefix,
    staging_prefix,
    validation_key,
)
from mmoe.lake.reader import refuse_expired, refuse_hidden
from mmoe.lake.staging import Staged
from mmoe.lake.store import Store
from mmoe.parsing import Frozen
from mmoe.schema import Schema


class QuarantineRecord(Frozen):
    """Why a day is not in the lake. Its raw files stay in the landing zone; this names them and counts, no values."""

    format: Literal[1] = 1
    day: date
    reason: str
    sources: tuple[SourceFile, ...]
    counts: dict[str, int]
    rows: int
    problems: tuple[Problem, ...]
    validation: Validation
    closed_by: str | None = None
    """Digest of what came after it: the manifest that settled the day, or the day's next quarantine record."""


def publish(store: Store, staged: Staged, validation: Validation, schema: Schema) -> Manifest:
    """Swap the day's partition in as a whole and close its quarantine records. Same content, same bytes.

    Raises LakeError when the validation failed or belongs to other rows, or when another run publishes other content of
    the day at the same time, PartitionExpiredError behind the horizon.
    """
    _refuse_unvalidated(staged, validation, schema)
    key = manifest_key(staged.day)
    before = store.read_bytes(key)
    manifest = Manifest(
        day=staged.day,
        files=staged.files,
        schema_name=staged.schema_name,
        schema_fingerprint=staged.schema_fingerprint,
        sources=staged.sources,
        counts=staged.counts,
        nulls=staged.nulls,
        labels=staged.labels,
        view_type_rows=staged.view_type_rows,
        validation=validation,
    )
    with store.lock(LAKE_LOCK):
        refuse_expired(store, staged.day)
        refuse_hidden(store, manifest)
        if store.read_bytes(key) not in (before, to_json(manifest)):
            raise _overtaken(staged.day)
        for file in staged.files:
            _put_rows(store, staged.day, file)
        if not store.swap_bytes(key, before, to_json(manifest)) and store.read_bytes(key) != to_json(manifest):
            raise _overtaken(staged.day)
        kept = {key, *(partition_prefix(staged.day) + file.name for file in staged.files)}
        store.delete(entry.key for entry in store.list(partition_prefix(staged.day)) if entry.key not in kept)
        _close_records(store, staged.day, manifest.digest)
    store.delete(staging_prefix(staged.day) + file.name for file in staged.files)
    return manifest


def quarantine(store: Store, staged: Staged, validation: Validation) -> QuarantineRecord:
    """Record why the day is not published; an earlier publication of the day stays. Same content, same record."""
    record = QuarantineRecord(
        day=staged.day,
        reason=_reason(validation),
        sources=staged.sources,
        counts=staged.counts,
        rows=staged.rows,
        problems=staged.problems,
        validation=validation,
    )
    with store.lock(LAKE_LOCK):
        refuse_expired(store, staged.day)
        digest = canonical_digest(record.model_dump(mode="json"))
        key = f"{quarantine_prefix(staged.day)}{digest[:12]}.json"
        store.write_bytes(key, to_json(record))
        _close_records(store, staged.day, digest, except_key=key)
    return record


def list_quarantined(store: Store, *, closed: bool = False) -> list[QuarantineRecord]:
    """Open records by day; with `closed`, also those that a later publication settled."""
    keys = [entry.key for entry in store.list(f"{QUARANTINE}/")]
    records = [from_json(QuarantineRecord, content, key) for key in keys if (content := store.read_bytes(key))]
    return [record for record in records if closed or record.closed_by is None]


def save_validation(store: Store, day: date, validation: Validation) -> None:
    store.write_bytes(validation_key(day), to_json(validation))


def load_validation(store: Store, day: date) -> Validation:
    """The day's last validation. Raises PartitionMissingError when there is none."""
    content = store.read_bytes(validation_key(day))
    if content is None:
        raise PartitionMissingError(f"day={day}: not validated; run validate for the day first.")
    return from_json(Validation, content, validation_key(day))


def _refuse_unvalidated(staged: Staged, validation: Validation, schema: Schema) -> None:
    if validation.status == "failed":
        raise LakeError(f"day={staged.day}: its validation failed; quarantine it instead of publishing.")
    if validation.subject != staged.digest:
        raise LakeError(f"day={staged.day}: the validation is of other rows than the staged ones; validate again.")
    if staged.schema_fingerprint != schema.fingerprint:
        raise LakeError(f"day={staged.day}: staged under another schema than {schema.name!r}; run ingest again.")


def _overtaken(day: date) -> LakeError:
    return LakeError(
        f"day={day}: another run has just published other content of this day, which stays; run ingest for the day "
        "again to publish this run's."
    )


def _put_rows(store: Store, day: date, file: DataFile) -> None:
    """A staged file into place, or the proof that an interrupted run has put it there already."""
    source, target = staging_prefix(day) + file.name, partition_prefix(day) + file.name
    if store.list(source):
        path = store.local_path(source)
        if file_digest(path) != file.sha256:
            raise LakeError(f"day={day}: the staged rows have changed since ingest; run ingest again.")
        store.put_file(path, target)
    elif not store.list(target) or file_digest(store.local_path(target)) != file.sha256:
        raise PartitionMissingError(f"day={day}: the staged rows are gone; run ingest for the day again.")


def _close_records(store: Store, day: date, digest: str, except_key: str | None = None) -> None:
    for entry in store.list(quarantine_prefix(day)):
        record = from_json(QuarantineRecord, store.read_bytes(entry.key) or b"", entry.key)
        if record.closed_by is None and entry.key != except_key:
            store.write_bytes(entry.key, to_json(record.model_copy(update={"closed_by": digest})))


def _reason(validation: Validation) -> str:
    """The first five critical failures in one line."""
    critical = [str(failure) for failure in validation.failures if failure.severity == "critical"]
    more = f"; and {len(critical) - 5} more" if len(critical) > 5 else ""
    return "; ".join(critical[:5]) + more
