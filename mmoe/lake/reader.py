"""How every other part of the project gets at published partitions: by day, through the manifest, verified."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mmoe.errors import CorruptionError, PartitionExpiredError, PartitionMissingError, SchemaError
from mmoe.lake.horizon import Horizon, read_horizon, read_horizons
from mmoe.lake.manifest import Manifest, file_digest, from_json
from mmoe.lake.partitions import ENGAGEMENT, day_of, manifest_key, partition_prefix
from mmoe.lake.store import Store
from mmoe.schema import Schema


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A verified day. Rows are ordered by (event_time, event_id), file after file."""

    day: date
    digest: str
    """Manifest.digest: the same for the same rows under the same schema."""
    files: tuple[Path, ...]
    rows: int


def published_days(store: Store) -> list[date]:
    """Every readable day, oldest first: none behind the retention horizon, or with rows behind one of their own."""
    horizon = read_horizons(store)
    days = stored_days(store)
    if horizon is None:
        return days
    return [day for day in days if day >= horizon.newest or (day >= horizon.day and not _hidden(store, day, horizon))]


def stored_days(store: Store) -> list[date]:
    """Every day that has a manifest, readable or not, oldest first."""
    days = {day_of(entry.key) for entry in store.list(f"{ENGAGEMENT}/") if entry.key.endswith("/manifest.json")}
    return sorted(day for day in days if day is not None)


def read_manifest(store: Store, day: date) -> Manifest:
    """The day's manifest. Raises PartitionExpiredError, PartitionMissingError or CorruptionError."""
    refuse_expired(store, day)
    content = store.read_bytes(manifest_key(day))
    if content is None:
        raise PartitionMissingError(f"day={day}: no published partition; ingest the day first.")
    return from_json(Manifest, content, manifest_key(day))


def find_manifest(store: Store, day: date) -> Manifest | None:
    """The day's manifest, or None when nothing is published."""
    try:
        return read_manifest(store, day)
    except PartitionMissingError:
        return None


def open_partition(store: Store, day: date, schema: Schema) -> Partition:
    """The day's files, with every byte checked against the manifest.

    Raises PartitionExpiredError behind the horizon, PartitionMissingError when nothing is published, SchemaError
    when it was published under another schema, CorruptionError when bytes are gone or changed.
    """
    manifest = read_manifest(store, day)
    refuse_hidden(store, manifest)
    if manifest.schema_fingerprint != schema.fingerprint:
        raise SchemaError(
            f"day={day}: published under schema {manifest.schema_name!r} ({manifest.schema_fingerprint[:12]}), not "
            f"{schema.name!r} ({schema.fingerprint[:12]}); ingest the day again under this schema."
        )
    try:
        files = tuple(_verified(store, day, file.name, file.sha256) for file in manifest.files)
    except CorruptionError:
        if read_manifest(store, day) == manifest:
            raise
        return open_partition(store, day, schema)  # the day was published anew in between
    return Partition(day=day, digest=manifest.digest, files=files, rows=manifest.rows)


def trailing_manifests(store: Store, day: date, limit: int = 14) -> list[Manifest]:
    """Manifests of the last published days before `day`, oldest first: what its validation compares with."""
    return [read_manifest(store, earlier) for earlier in published_days(store) if earlier < day][-limit:]


def refuse_expired(store: Store, day: date) -> None:
    horizon = read_horizon(store)
    if horizon is not None and day < horizon:
        raise PartitionExpiredError(
            f"day={day}: behind the retention horizon {horizon}; expired data can be neither read nor brought back."
        )


def refuse_hidden(store: Store, manifest: Manifest) -> None:
    """Raises PartitionExpiredError when some of the rows or labels lie behind a horizon of their own."""
    horizon = read_horizons(store)
    hidden = hidden_parts(manifest, horizon) if horizon is not None else ()
    if hidden:
        raise PartitionExpiredError(
            f"day={manifest.day}: holds {', '.join(hidden)} behind the retention horizon; run retention apply, which "
            "publishes the rest of the day again. A day under a legal hold stays unreadable until the hold ends."
        )


def hidden_parts(manifest: Manifest, horizon: Horizon) -> tuple[str, ...]:
    """View types and labels that the day still has although they may no longer be read."""
    view_types = [name for name, rows in manifest.view_type_rows.items() if rows and horizon.hides(manifest.day, name)]
    known = {name: count.positives + count.negatives for name, count in manifest.labels.items()}
    return (*view_types, *(name for name, rows in known.items() if rows and horizon.masks(manifest.day, name)))


def _hidden(store: Store, day: date, horizon: Horizon) -> bool:
    try:
        return bool(hidden_parts(read_manifest(store, day), horizon))
    except CorruptionError:
        return False  # whoever opens it is told


def _verified(store: Store, day: date, name: str, sha256: str) -> Path:
    key = partition_prefix(day) + name
    if not store.list(key):
        raise CorruptionError(f"{key}: in the manifest but not in the lake; ingest the day again.")
    path = store.local_path(key)
    if file_digest(path) != sha256:
        raise CorruptionError(f"{key}: its bytes are not those of its manifest; ingest the day again.")
    return path
