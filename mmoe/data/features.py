# ruff: noqa: N803  (shapes in names)
"""Canonical Arrow rows to model inputs: hashed ids, standardised numbers, bags, labels. No Python per row."""

from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmoe.data.arrays import filled, flat, nulls
from mmoe.data.hashing import MISSING, TableRows, dense_rows, hash_rows, hash_words
from mmoe.data.moments import Moment, Moments, Values, transformed
from mmoe.data.rows import Bags, Floats, Ints, Layout, Rows, Words
from mmoe.errors import SchemaError
from mmoe.lake.partitions import GROUP_ID
from mmoe.schema import EVENT_ID, VIEW_TYPE, Categorical, Multivalued, Numeric, Schema

IDENTITY = [EVENT_ID, GROUP_ID]
UNKNOWN = -1
APART = 16
"""Words between columns, a cache's line: at distances of a power of two all columns would share the same few lines."""


def read_columns(schema: Schema) -> list[str]:
    """The columns that `encode` may read, in the order in which it does."""
    features = schema.features
    return [*features.multivalued, *features.categorical, *features.numeric, VIEW_TYPE, *schema.labels, *IDENTITY]


def text_columns(schema: Schema) -> list[str]:
    """The columns to read as dictionaries: their distinct values are hashed, not their rows."""
    return [VIEW_TYPE, *(name for name, feature in schema.features.categorical.items() if feature.type == "string")]


def record_layout(schema: Schema, moments: Moments, *, teachers: int = 0, groups: bool = False) -> Layout:
    """The records that `encode` makes of a schema's rows."""
    features = schema.features
    cut = sum(moments[name].edges is not None for name in features.numeric)
    return Layout(
        categorical=len(features.categorical) + cut,
        numeric=len(features.numeric) - cut,
        heads=len(schema.heads),
        teachers=teachers,
        groups=groups,
    )


class Columns(Protocol):
    """A table, or what reads one by column."""

    def __len__(self) -> int: ...

    def __getitem__(self, name: str, /) -> pa.ChunkedArray: ...


def encode(
    table: Columns,
    schema: Schema,
    moments: Moments,
    *,
    teachers: tuple[Floats, ...] = (),
    with_groups: bool = False,
    with_identity: bool = False,
    into: Words | None = None,
) -> Rows:
    """N canonical rows -> Rows. `teachers` are (N, H) logits that travel with the rows.

    Numeric features whose moment has edges become categories, after the categorical ones. The records are written to
    the first N rows of `into`, where it is given. Raises SchemaError for a view type the schema does not know.
    """
    layout = record_layout(schema, moments, teachers=len(teachers), groups=with_groups)
    bags = tuple(_bags(flat(table[name]), name, feature) for name, feature in schema.features.multivalued.items())
    columns = np.empty((layout.width, len(table) + APART), dtype=np.int32)[:, :-APART]
    by_column = Rows(layout=layout, words=columns.T)
    _fill_categories(by_column.categorical, table, schema, moments)
    _fill_numbers(by_column.numeric, table, schema, moments)
    by_column.view_type[:] = _view_type(flat(table[VIEW_TYPE]), schema)
    for index, name in enumerate(schema.labels):
        by_column.labels[:, index] = filled(flat(table[name].cast(pa.float32())), np.nan)
    for index, logits in enumerate(teachers):
        by_column.teacher(index)[:] = logits
    words = layout.empty(len(table)) if into is None else into[: len(table)]
    words[:] = by_column.words  # much faster than to write records by column
    identity = pa.table({name: table[name] for name in IDENTITY}) if with_identity else None
    rows = Rows(layout=layout, words=words, bags=bags, identity=identity)
    if rows.group is not None:
        rows.group[:] = group_codes(table[GROUP_ID])
    return rows


def _fill_categories(categorical_NC: Words, table: Columns, schema: Schema, moments: Moments) -> None:
    features = schema.features
    for index, (name, feature) in enumerate(features.categorical.items()):
        embedding_rows(flat(table[name]), name, feature, categorical_NC[:, index])
    cut = [name for name in features.numeric if moments[name].edges is not None]
    for index, name in enumerate(cut, start=len(features.categorical)):
        categorical_NC[:, index] = bucketed(transformed(table[name], features.numeric[name]), moments[name])


def _fill_numbers(numeric_NM: Floats, table: Columns, schema: Schema, moments: Moments) -> None:
    """Standardised, NaN where missing."""
    plain = [(name, f) for name, f in schema.features.numeric.items() if moments[name].edges is None]
    for index, (name, feature) in enumerate(plain):
        values, moment = _float32(table[name], feature), moments[name]
        with np.errstate(over="ignore"):  # an infinite outlier is cut by the network like any other
            numeric_NM[:, index] = (values - np.float32(moment.mean)) / np.float32(moment.scale)


def _float32(column: pa.ChunkedArray, feature: Numeric) -> Floats:
    if feature.transform == "none":
        return filled(flat(column.cast(pa.float32())), np.nan)
    return transformed(column, feature).astype(np.float32)


def embedding_rows(values: pa.Array, name: str, feature: Categorical, into: TableRows) -> None:
    """(N,) ids -> (N,) embedding rows, 0 where missing."""
    if feature.ids == "dense":
        dense_rows(values, feature.buckets, into)
    else:
        hash_rows(values, name, feature.buckets, into)


def bucketed(values: Values, moment: Moment) -> Ints:
    """(N,) values with NaN for missing -> (N,) embedding rows: 0 for missing, else 1 + the number of edges below."""
    rows = np.searchsorted(np.array(moment.edges), values, side="right").astype(np.int64) + 1
    return np.where(np.isnan(values), np.int64(MISSING), rows)


def group_codes(column: pa.ChunkedArray) -> Ints:
    """(N,) group ids -> (N,) codes below 2^56, equal for equal ids; -1 where null."""
    ids = flat(column)
    codes = (hash_words(ids, "group") >> np.uint64(8)).astype(np.int64)
    return np.where(nulls(ids), np.int64(-1), codes)


def _bags(column: pa.ListArray, name: str, feature: Multivalued) -> Bags:
    """Lists of N rows -> hashed bags. A null or empty list is a bag of the one missing row."""
    lengths = filled(pc.list_value_length(column), 0).astype(np.int64)
    members = column.flatten()
    hashed = np.empty(len(members), dtype=np.int32)
    embedding_rows(members, name, feature, hashed)
    counts = np.maximum(lengths, 1)
    values = np.full(counts.sum(), MISSING, dtype=np.int64)
    values[np.repeat(lengths > 0, counts)] = hashed
    return Bags(values=values, counts=counts)


def _view_type(column: pa.Array, schema: Schema) -> Ints:
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    places = {name: place for place, name in enumerate(schema.view_type.names)}
    known = np.array([UNKNOWN, *(places.get(name, UNKNOWN) for name in encoded.dictionary.to_pylist())])
    indices: Ints = known[filled(encoded.indices, -1) + 1]
    if unknown := int((indices == UNKNOWN).sum()):
        names = ", ".join(schema.view_type.names)
        raise SchemaError(f"view_type: {unknown} rows hold none of {names}; ingest the day again.")
    return indices
