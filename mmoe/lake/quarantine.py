"""Days that did not pass: why, until a later publication settles them, or a person releases them as they are."""

from datetime import date, datetime
from typing import Literal

from mmoe.errors import LakeError
from mmoe.lake.manifest import (
    Manifest,
    Problem,
    Release,
    SourceFile,
    Validation,
    canonical_digest,
    file_digest,
    from_json,
    to_json,
)
from mmoe.lake.partitions import LAKE_LOCK, QUARANTINE, manifest_key, quarantine_prefix, release_key
from mmoe.lake.reader import refuse_expired
from mmoe.lake.staging import Staged, load_staged, staged_paths
from mmoe.lake.store import Store
from mmoe.parsing import Frozen


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
        _write(store, record)
    return record


def withdraw(store: Store, manifest: Manifest, validation: Validation) -> QuarantineRecord:
    """Take back a publication that is not what it states; its files stay until the day is published anew."""
    record = QuarantineRecord(
        day=manifest.day,
        reason=f"withdrawn after publication: {_reason(validation)}",
        sources=manifest.sources,
        counts=manifest.counts,
        rows=manifest.rows,
        problems=(),
        validation=validation,
    )
    with store.lock(LAKE_LOCK):
        refuse_expired(store, manifest.day)
        if store.read_bytes(manifest_key(manifest.day)) == to_json(manifest):
            _write(store, record)
            store.delete([manifest_key(manifest.day)])
    return record


def list_quarantined(store: Store, *, day: date | None = None, closed: bool = False) -> list[QuarantineRecord]:
    """Open records by day, of one day or all; with `closed`, also those that something later settled."""
    prefix = quarantine_prefix(day) if day else f"{QUARANTINE}/"
    keys = [entry.key for entry in store.list(prefix) if not _is_release(entry.key)]
    records = [from_json(QuarantineRecord, content, key) for key in keys if (content := store.read_bytes(key))]
    return [record for record in records if closed or record.closed_by is None]


def close_records(store: Store, day: date, digest: str, except_key: str | None = None) -> None:
    """Mark the day's open records as settled by what has this digest. Whoever calls holds LAKE_LOCK."""
    for entry in store.list(quarantine_prefix(day)):
        if entry.key == except_key or _is_release(entry.key):
            continue
        record = from_json(QuarantineRecord, store.read_bytes(entry.key) or b"", entry.key)
        if record.closed_by is None:
            store.write_bytes(entry.key, to_json(record.model_copy(update={"closed_by": digest})))


def release(store: Store, day: date, *, actor: str, reason: str, at: datetime) -> Release:
    """Decide that the quarantined rows of a day may be published as they are. Decided again, the first decision stands.

    It holds for exactly these rows: the same rows ingested again are still released, others are judged anew. Raises
    LakeError when nothing is in quarantine or its rows have changed, PartitionExpiredError behind the horizon.
    """
    for name, text in (("actor", actor), ("reason", reason)):
        if not text.strip():
            raise LakeError(f"{name}={text!r}: empty; say who releases the day, and why.")
    with store.lock(LAKE_LOCK):
        refuse_expired(store, day)
        staged = load_staged(store, day)
        decided = read_release(store, day, staged.digest)
        if decided is not None:
            return decided
        records = list_quarantined(store, day=day)
        if not records:
            raise LakeError(f"day={day}: nothing is in quarantine; `mmoe quarantine list` shows what is.")
        record = records[-1]
        _refuse_other_rows(store, staged, record)
        critical = tuple(failure for failure in record.validation.failures if failure.severity == "critical")
        decision = Release(day=day, subject=staged.digest, actor=actor, reason=reason, at=at, overrides=critical)
        store.write_bytes(release_key(day, staged.digest), to_json(decision))
    return decision


def with_release(store: Store, day: date, validation: Validation) -> Validation:
    """The validation, and whether a person has released what did not pass it."""
    decision = read_release(store, day, validation.subject) if validation.status == "failed" else None
    return validation.model_copy(update={"status": "released", "release": decision}) if decision else validation


def read_release(store: Store, day: date, subject: str) -> Release | None:
    """The decision on these rows; `subject` is the digest of the staged day."""
    content = store.read_bytes(release_key(day, subject))
    return from_json(Release, content, release_key(day, subject)) if content is not None else None


def list_releases(store: Store, day: date) -> list[Release]:
    keys = [entry.key for entry in store.list(quarantine_prefix(day)) if _is_release(entry.key)]
    found = [from_json(Release, content, key) for key in keys if (content := store.read_bytes(key))]
    return sorted(found, key=lambda decision: decision.at)


def _write(store: Store, record: QuarantineRecord) -> None:
    digest = canonical_digest(record.model_dump(mode="json"))
    key = f"{quarantine_prefix(record.day)}{digest[:12]}.json"
    store.write_bytes(key, to_json(record))
    close_records(store, record.day, digest, except_key=key)


def _is_release(key: str) -> bool:
    return "/releases/" in key


def _refuse_other_rows(store: Store, staged: Staged, record: QuarantineRecord) -> None:
    if staged.digest != record.validation.subject:
        raise LakeError(
            f"day={staged.day}: what is staged are other rows than those in quarantine; validate the day first."
        )
    paths = staged_paths(store, staged)
    if any(file_digest(path) != file.sha256 for path, file in zip(paths, staged.files, strict=True)):
        raise LakeError(f"day={staged.day}: the staged rows have changed since ingest; run ingest again.")


def _reason(validation: Validation) -> str:
    """The first five critical failures in one line."""
    critical = [str(failure) for failure in validation.failures if failure.severity == "critical"]
    more = f"; and {len(critical) - 5} more" if len(critical) > 5 else ""
    return "; ".join(critical[:5]) + more
