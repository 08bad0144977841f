"""A staged day: canonical rows in Parquet files under _staging/, and all that is known about them."""

import hashlib
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmoe.errors import PartitionMissingError
from mmoe.lake.manifest import DataFile, LabelCount, Problem, SourceFile, canonical_digest, from_json, to_json
from mmoe.lake.partitions import GROUP_ID, staging_prefix
from mmoe.lake.store import Store
from mmoe.parsing import Frozen
from mmoe.schema import VIEW_TYPE, Schema

ROW_GROUP = 65_536
UNLISTED = "(unlisted)"


class Staged(Frozen):
    """What ingest made of a day. Not published, and not readable by anything but validation."""

    day: date
    schema_name: str
    schema_fingerprint: str
    files: tuple[DataFile, ...]
    """The rows: Parquet in canonical columns, ordered by (event_time, event_id), file after file."""
    sources: tuple[SourceFile, ...]
    counts: dict[str, int]
    problems: tuple[Problem, ...]
    nulls: dict[str, int]
    labels: dict[str, LabelCount]
    view_type_rows: dict[str, int]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def digest(self) -> str:
        return canonical_digest(self.model_dump(mode="json"))


def save_staged(
    store: Store,
    schema: Schema,
    day: date,
    rows: pa.Table,
    *,
    counts: dict[str, int],
    problems: tuple[Problem, ...],
    sources: tuple[SourceFile, ...],
) -> Staged:
    """Write the rows, then the description. The rows go through memory, so no copy of them lies outside the lake."""
    buffer = pa.BufferOutputStream()
    pq.write_table(rows, buffer, compression="zstd", row_group_size=ROW_GROUP)
    content = buffer.getvalue().to_pybytes()
    sha256 = hashlib.sha256(content).hexdigest()
    file = DataFile(name=f"part-0-{sha256[:8]}.parquet", rows=rows.num_rows, bytes=len(content), sha256=sha256)
    key = staging_prefix(day) + file.name
    store.write_bytes(key, content)
    staged = Staged(
        day=day,
        schema_name=schema.name,
        schema_fingerprint=schema.fingerprint,
        files=(file,),
        sources=sources,
        counts=counts,
        problems=problems,
        nulls=_nulls(rows, schema),
        labels={head: _label_count(rows[head]) for head in schema.heads},
        view_type_rows=_view_type_rows(rows[VIEW_TYPE], schema),
    )
    store.write_bytes(staged_key(day), to_json(staged))
    store.delete(entry.key for entry in store.list(staging_prefix(day)) if entry.key not in (key, staged_key(day)))
    return staged


def load_staged(store: Store, day: date) -> Staged:
    """What the last `stage_day` made of the day. Raises PartitionMissingError when it has not run."""
    content = store.read_bytes(staged_key(day))
    if content is None:
        raise PartitionMissingError(f"day={day}: nothing is staged; run ingest for the day first.")
    return from_json(Staged, content, staged_key(day))


def staged_paths(store: Store, staged: Staged) -> tuple[Path, ...]:
    """Local files with the rows, in order. Raises PartitionMissingError when they are gone."""
    keys = [staging_prefix(staged.day) + file.name for file in staged.files]
    there = {entry.key for entry in store.list(staging_prefix(staged.day))}
    if not there.issuperset(keys):
        raise PartitionMissingError(f"day={staged.day}: the staged rows are gone; run ingest for the day again.")
    return tuple(store.local_path(key) for key in keys)


def staged_key(day: date) -> str:
    return staging_prefix(day) + "staged.json"


def _nulls(rows: pa.Table, schema: Schema) -> dict[str, int]:
    features = schema.features
    names = [GROUP_ID, *features.categorical, *features.numeric, *features.multivalued]
    return {name: rows[name].null_count for name in names}


def _label_count(label: pa.ChunkedArray) -> LabelCount:
    positives = pc.sum(pc.equal(label, 1)).as_py() or 0
    return LabelCount(positives=positives, negatives=len(label) - label.null_count - positives, nulls=label.null_count)


def _view_type_rows(values: pa.ChunkedArray, schema: Schema) -> dict[str, int]:
    """Rows per declared view type. What is not declared is only counted: its text is a row's value."""
    found = {entry["values"]: entry["counts"] for entry in values.value_counts().to_pylist()}
    listed = {name: found.get(name, 0) for name in schema.view_type.names}
    unlisted = len(values) - sum(listed.values())
    return listed | ({UNLISTED: unlisted} if unlisted else {})
