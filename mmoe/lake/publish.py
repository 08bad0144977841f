"""A validated day into the lake as one."""

from datetime import date

from mmoe.errors import LakeError, PartitionMissingError
from mmoe.lake.late import pass_on
from mmoe.lake.manifest import DataFile, Manifest, Validation, file_digest, from_json, to_json
from mmoe.lake.partitions import LAKE_LOCK, manifest_key, partition_prefix, staging_prefix, validation_key
from mmoe.lake.quarantine import close_records
from mmoe.lake.reader import refuse_expired, refuse_hidden
from mmoe.lake.representable import representable
from mmoe.lake.staging import Staged
from mmoe.lake.store import Store
from mmoe.schema import Schema


def publish(store: Store, staged: Staged, validation: Validation, schema: Schema) -> Manifest:
    """Swap the day's partition in as a whole and close its quarantine records. Same content, same bytes.

    Rows that a person has released are published without those that no partition can hold. Raises LakeError when the
    validation failed or belongs to other rows, or when another run publishes other content of the day at the same time,
    PartitionExpiredError behind the horizon.
    """
    _refuse_unvalidated(staged, validation, schema)
    key = manifest_key(staged.day)
    before = store.read_bytes(key)
    rows = _to_publish(store, staged, validation, schema)
    manifest = Manifest(
        day=staged.day,
        files=rows.files,
        schema_name=staged.schema_name,
        schema_fingerprint=staged.schema_fingerprint,
        as_of=staged.as_of,
        sources=staged.sources,
        source_columns=staged.source_columns,
        counts=rows.counts,
        nulls=rows.nulls,
        labels=rows.labels,
        view_type_rows=rows.view_type_rows,
        validation=validation,
    )
    with store.lock(LAKE_LOCK):
        refuse_expired(store, staged.day)
        refuse_hidden(store, manifest)
        if store.read_bytes(key) not in (before, to_json(manifest)):
            raise _overtaken(staged.day)
        for file in rows.files:
            _put_rows(store, staged.day, file)
        if not store.swap_bytes(key, before, to_json(manifest)) and store.read_bytes(key) != to_json(manifest):
            raise _overtaken(staged.day)
        kept = {key, *(partition_prefix(staged.day) + file.name for file in rows.files)}
        store.delete(entry.key for entry in store.list(partition_prefix(staged.day)) if entry.key not in kept)
        pass_on(store, staged)
        close_records(store, staged.day, manifest.digest)
    store.delete(staging_prefix(staged.day) + file.name for file in {*staged.files, *rows.files})
    return manifest


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


def _to_publish(store: Store, staged: Staged, validation: Validation, schema: Schema) -> Staged:
    """The staged rows; of released ones those that a partition can hold, as an interrupted run may have left them."""
    if validation.release is None:
        return staged
    content = store.read_bytes(manifest_key(staged.day))
    published = from_json(Manifest, content, manifest_key(staged.day)) if content is not None else None
    if published is None or published.validation != validation:
        return representable(store, staged, schema)
    kept = ("files", "counts", "nulls", "labels", "view_type_rows")
    return staged.model_copy(update={name: getattr(published, name) for name in kept})


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
