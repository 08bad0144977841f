"""Slice columns that a schema declares, of a partition's rows: a few names that it tells, never a row's own value."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmoe.data.hashing import GroupShare
from mmoe.data.score_set import MISSING
from mmoe.lake.partitions import GROUP_ID
from mmoe.lake.reader import Partition
from mmoe.schema import EVENT_TIME, Schema, Slice


def slice_columns(partition: Partition, schema: Schema, groups: Sequence[GroupShare] = ()) -> dict[str, pa.Array]:
    """Slice column -> (N,) names, in the partition's row order, of the groups that every share keeps."""
    wanted = sorted({GROUP_ID, *(declared.of for declared in schema.slices.values())})
    found: dict[str, list[pa.Array]] = {name: [] for name in schema.slices}
    for file in partition.files if schema.slices else ():
        with pq.ParquetFile(file) as stored:
            for batch in stored.iter_batches(columns=wanted):
                table = pa.Table.from_batches([batch])
                for share in groups:
                    table = table.filter(pa.array(share.mask(table[GROUP_ID].combine_chunks())))
                for name, column in named(table, schema).items():
                    found[name].append(column)
    return {name: pa.concat_arrays([pa.array([], pa.string()), *parts]) for name, parts in found.items()}


def named(table: pa.Table, schema: Schema) -> Mapping[str, pa.Array]:
    """Slice column -> (N,) names of a table's rows."""
    return {
        name: listed(table[declared.of], declared)
        if declared.values
        else between(number(table, declared.of, schema), declared)
        for name, declared in schema.slices.items()
    }


def number(table: pa.Table, name: str, schema: Schema) -> pa.ChunkedArray:
    """A numeric feature as it is, or of the event's time the hour in the schema's days (0 to 23)."""
    if name != EVENT_TIME:
        return table[name]
    utc = pc.cast(pc.hour(table[EVENT_TIME]), pa.int64())
    return pa.chunked_array([pa.array((utc.to_numpy() + schema.event_time.day_starts_utc) % 24)])


def listed(column: pa.ChunkedArray, declared: Slice) -> pa.Array:
    """Values that are declared by their text, others as one slice."""
    texts = column.combine_chunks().cast(pa.string())
    places = pc.index_in(texts, value_set=pa.array(declared.values, pa.string()))
    places = pc.fill_null(places, len(declared.values)).to_numpy(zero_copy_only=False).astype(np.int64)
    places[texts.is_null().to_numpy(zero_copy_only=False)] = len(declared.values) + 1
    return pa.array([*declared.values, "other", MISSING]).take(pa.array(places))


def between(column: pa.ChunkedArray, declared: Slice) -> pa.Array:
    """Between the edges, the lower one included."""
    values = column.cast(pa.float64(), safe=False).to_numpy()
    names = declared.names
    places = np.searchsorted(np.array(declared.edges), values, side="right")
    places = np.where(np.isnan(values), len(names), places)
    return pa.array([*names, MISSING]).take(pa.array(places))
