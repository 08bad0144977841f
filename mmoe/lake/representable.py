"""Released rows that a partition cannot hold stay out of it, counted: what readers rely on is true of every row."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmoe.errors import LakeError
from mmoe.lake.manifest import DataFile, file_digest
from mmoe.lake.partitions import staging_prefix
from mmoe.lake.parts import Tally
from mmoe.lake.staging import Staged, staged_paths
from mmoe.lake.store import Store
from mmoe.schema import EVENT_ID, EVENT_TIME, VIEW_TYPE, Schema

LEFT_OUT = "left_out_rows"


def representable(store: Store, staged: Staged, schema: Schema) -> Staged:
    """The staged day without rows that have no id or time, an undeclared view type, or a label other than 0 and 1.

    Its files lie beside the staged ones, and are the same for the same rows. Raises LakeError when no row is left.
    """
    tally = Tally(schema)
    files = [
        file
        for number, path in enumerate(staged_paths(store, staged))
        if (file := _write(store, staged, number, tally.watch(_fitting(pq.ParquetFile(path), schema)))).rows
    ]
    rows = sum(file.rows for file in files)
    if not rows:
        raise LakeError(f"day={staged.day}: none of its {staged.rows} rows can be published; correct the delivery.")
    return staged.model_copy(
        update={
            "files": tuple(files),
            "counts": staged.counts | {LEFT_OUT: staged.rows - rows},
            "nulls": tally.nulls,
            "labels": tally.labels,
            "view_type_rows": tally.view_type_rows,
        }
    )


def _fitting(file: pq.ParquetFile, schema: Schema) -> Iterator[pa.Table]:
    with file:
        yield file.schema_arrow.empty_table()
        for number in range(file.num_row_groups):
            rows = file.read_row_group(number)
            yield rows.filter(_fits(rows, schema))


def _fits(rows: pa.Table, schema: Schema) -> pa.ChunkedArray:
    fits = pc.and_(pc.is_valid(rows[EVENT_ID]), pc.is_valid(rows[EVENT_TIME]))
    fits = pc.and_(fits, pc.is_in(rows[VIEW_TYPE], value_set=pa.array(schema.view_type.names)))
    for head in schema.heads:
        known = pc.is_in(rows[head], value_set=pa.array([0, 1], pa.int8()))
        fits = pc.and_(fits, pc.or_(known, pc.is_null(rows[head])))
    return fits


def _write(store: Store, staged: Staged, number: int, pieces: Iterator[pa.Table]) -> DataFile:
    stem = f"{staging_prefix(staged.day)}released-{number}"
    first = next(pieces)
    rows = 0
    with store.writer(f"{stem}.parquet") as (path, _):
        with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
            for piece in pieces:
                writer.write_table(piece)
                rows += piece.num_rows
        sha256 = file_digest(path)
        key = f"{stem}-{sha256[:8]}.parquet"
        if rows:
            store.put_file(path, key)
        return DataFile(name=key.rpartition("/")[2], rows=rows, bytes=path.stat().st_size, sha256=sha256)
