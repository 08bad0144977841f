"""Ordered rows into the part files of a staged day, and what is counted on the way."""

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmoe.lake.manifest import DataFile, LabelCount, file_digest
from mmoe.lake.partitions import GROUP_ID, staging_prefix
from mmoe.lake.store import Store
from mmoe.schema import VIEW_TYPE, Schema

ROW_GROUP = 65_536
PART_ROWS = 16 * ROW_GROUP
UNLISTED = "(unlisted)"


class Tally:
    """Nulls, labels and view types of rows that pass by."""

    def __init__(self, schema: Schema) -> None:
        features = schema.features
        names = [GROUP_ID, *features.categorical, *features.numeric, *features.multivalued]
        self.nulls = dict.fromkeys(names, 0)
        self.labels = {head: LabelCount(positives=0, negatives=0, nulls=0) for head in schema.heads}
        self.view_type_rows = dict.fromkeys(schema.view_type.names, 0)

    def watch(self, pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
        for piece in pieces:
            self._add(piece)
            yield piece

    def _add(self, rows: pa.Table) -> None:
        for name in self.nulls:
            self.nulls[name] += rows[name].null_count
        for head, before in self.labels.items():
            self.labels[head] = _more(before, rows[head])
        for entry in rows[VIEW_TYPE].value_counts().to_pylist():
            # What is not declared is only counted: its text is a row's value.
            name = entry["values"] if entry["values"] in self.view_type_rows else UNLISTED
            self.view_type_rows[name] = self.view_type_rows.get(name, 0) + entry["counts"]


def write_parts(
    store: Store, day: date, pieces: Iterable[pa.Table], schema: pa.Schema, scratch: Path
) -> list[DataFile]:
    """Parquet files of PART_ROWS rows under _staging/. The same rows give the same bytes, however they are cut."""
    files: list[DataFile] = []
    groups = _cut(pieces, schema)
    path = scratch / "part.parquet"
    group = next(groups, schema.empty_table())
    while group is not None:
        rows = 0
        with pq.ParquetWriter(path, schema, **file_options(schema)) as writer:
            while group is not None and rows < PART_ROWS:
                writer.write_table(group, row_group_size=ROW_GROUP)
                rows += group.num_rows
                group = next(groups, None)
        files.append(stage_file(store, path, staging_prefix(day) + f"part-{len(files)}", rows))
    return files


def file_options(schema: pa.Schema) -> dict[str, Any]:
    """How columns are written, chosen for the reading of training: integers as packed differences, which decode twice
    as fast as a dictionary at the same size; text by a dictionary; floats, which hardly repeat, as they are.
    """
    paths = {f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name: field for field in schema}
    kinds = {path: getattr(field.type, "value_type", field.type) for path, field in paths.items()}
    packed = [path for path, kind in kinds.items() if pa.types.is_integer(kind) or pa.types.is_temporal(kind)]
    return {
        "compression": "zstd",
        "use_dictionary": [
            path for path, kind in kinds.items() if path not in packed and not pa.types.is_floating(kind)
        ],
        "column_encoding": dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
    }


def stage_file(store: Store, path: Path, stem: str, rows: int) -> DataFile:
    """Move a local Parquet file into the store, under a key that starts with `stem` and ends with its digest."""
    sha256 = file_digest(path)
    key = f"{stem}-{sha256[:8]}.parquet"
    store.put_file(path, key)
    size = path.stat().st_size
    path.unlink()
    return DataFile(name=key.rpartition("/")[2], rows=rows, bytes=size, sha256=sha256)


def _cut(pieces: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Row groups of ROW_GROUP rows, the last one of fewer."""
    held = schema.empty_table()
    for piece in pieces:
        held = pa.concat_tables([held, piece])
        while held.num_rows >= ROW_GROUP:
            yield held.slice(0, ROW_GROUP).combine_chunks()
            held = held.slice(ROW_GROUP)
    if held.num_rows:
        yield held.combine_chunks()


def _more(before: LabelCount, label: pa.ChunkedArray) -> LabelCount:
    positives = pc.sum(pc.equal(label, 1)).as_py() or 0
    return LabelCount(
        positives=before.positives + positives,
        negatives=before.negatives + len(label) - label.null_count - positives,
        nulls=before.nulls + label.null_count,
    )
