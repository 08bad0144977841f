"""Rows that came with another day's files wait for their own day below late/dt=DAY/from=ORIGIN/ in the lake.

What lies there for a day is what the published days around it had for it; each of them replaces its own share.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmoe.errors import PartitionMissingError
from mmoe.lake.files import BLOCK_ROWS, UnreadableFileError, readable
from mmoe.lake.horizon import read_horizon
from mmoe.lake.manifest import DataFile, Manifest, SourceFile, file_digest
from mmoe.lake.partitions import LATE, day_of, late_prefix, staged_late_prefix
from mmoe.lake.repeats import PASSING, SOURCE
from mmoe.lake.routing import GROUPS_KEY, SCHEMA_KEY
from mmoe.lake.staging import Staged
from mmoe.lake.store import Store
from mmoe.schema import Schema


def pass_on(store: Store, staged: Staged) -> None:
    """Replace the day's share of what waits for other days; rows behind the horizon by now go nowhere. Runs again."""
    horizon = read_horizon(store)
    files = [late for late in staged.late if horizon is None or late.day >= horizon]
    for late in files:
        _put(store, staged.day, late.day, late.file)
    kept = {late_prefix(late.day, staged.day) + late.file.name for late in files}
    share = f"/from={staged.day.isoformat()}/"
    store.delete(entry.key for entry in store.list(f"{LATE}/") if share in entry.key and entry.key not in kept)
    store.delete(staged_late_prefix(late.day, staged.day) + late.file.name for late in staged.late)


def waiting(store: Store) -> dict[date, set[str]]:
    """What waits for each day, by the names that it has among the sources of a manifest."""
    names: dict[date, set[str]] = {}
    for entry in store.list(f"{LATE}/"):
        day = day_of(entry.key)
        if day is not None:
            names.setdefault(day, set()).add(_name(day, entry.key))
    return names


def included(manifest: Manifest) -> set[str]:
    """What a published day holds of that, by the same names."""
    return {source.name for source in manifest.sources if source.name.startswith(f"{LATE}/from=")}


def late_sources(store: Store, day: date) -> list[tuple[SourceFile, Path]]:
    """What waits for the day, in order of the days it came with, and where it can be read."""
    keys = [entry.key for entry in store.list(late_prefix(day))]
    paths = [store.local_path(key) for key in keys]
    return [
        (SourceFile(name=_name(day, key), bytes=path.stat().st_size, sha256=file_digest(path)), path)
        for key, path in zip(keys, paths, strict=True)
    ]


def whole_groups(source: SourceFile, path: Path, schema: Schema) -> bool:
    """Whether the file's group ids are whole numbers. Raises UnreadableFileError if it is not what was put aside."""
    if source.sha256[:8] not in source.name:
        raise UnreadableFileError("its bytes have changed; ingest and publish the day that it came with again")
    with readable(path):
        noted = pq.read_metadata(path).metadata or {}
    if noted.get(SCHEMA_KEY.encode()) != schema.fingerprint.encode():
        raise UnreadableFileError("put aside under another schema; ingest and publish the day that it came with again")
    return noted.get(GROUPS_KEY.encode()) == b"True"


def late_blocks(path: Path, number: int) -> Iterator[pa.Table]:
    """Rows as they were put aside, as of source `number`."""
    with readable(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BLOCK_ROWS):
            rows = pa.Table.from_batches([batch])
            position = rows.column_names.index(SOURCE)
            yield rows.set_column(position, PASSING[-1], pa.array([number] * rows.num_rows, pa.int32()))


def _name(day: date, key: str) -> str:
    return f"{LATE}/{key.removeprefix(late_prefix(day))}"


def _put(store: Store, origin: date, day: date, file: DataFile) -> None:
    """A staged file into place, or the proof that an interrupted run has put it there already."""
    source, target = staged_late_prefix(day, origin) + file.name, late_prefix(day, origin) + file.name
    if store.list(source):
        store.put_file(store.local_path(source), target)
    elif not store.list(target):
        raise PartitionMissingError(f"day={origin}: its late rows are gone from staging; run ingest for the day again.")
