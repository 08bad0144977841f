# ruff: noqa: N803  (shapes in names)
"""Canonical Arrow rows to model inputs: hashed ids, standardised numbers, bags, labels. No Python per row."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mmoe.data.hashing import MISSING, dense_rows, hash_rows, hash_words
from mmoe.data.moments import Moment, Moments, Values, transformed
from mmoe.data.rows import Bags, Floats, Ints, Layout, Rows, Words
from mmoe.errors import SchemaError
from mmoe.lake.partitions import GROUP_ID
from mmoe.schema import EVENT_ID, VIEW_TYPE, Categorical, Multivalued, Numeric, Schema

IDENTITY = [EVENT_ID, GROUP_ID]


def feature_columns(schema: Schema) -> list[str]:
    """The columns that `encode` reads."""
    features = schema.features
    return [VIEW_TYPE, *features.categorical, *features.numeric, *features.multivalued, *schema.labels]


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


def encode(
    table: pa.Table,
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
    rows = Rows(
        layout=layout,
        words=layout.empty(len(table)) if into is None else into[: len(table)],
        bags=tuple(_bags(_flat(table[name]), name, f) for name, f in schema.features.multivalued.items()),
        identity=table.select(IDENTITY) if with_identity else None,
    )
    columns = np.empty((layout.width, len(table)), dtype=np.int32)
    by_column = Rows(layout=layout, words=columns.T)
    _fill_categories(by_column.categorical, table, schema, moments)
    _fill_numbers(by_column.numeric, table, schema, moments)
    by_column.view_type[:] = _view_type(_flat(table[VIEW_TYPE]), schema)
    for index, name in enumerate(schema.labels):
        by_column.labels[:, index] = table[name].cast(pa.float32()).to_numpy()
    for index, logits in enumerate(teachers):
        by_column.teacher(index)[:] = logits
    torch.from_numpy(rows.words).copy_(torch.from_numpy(columns).t())  # much faster than to write records by column
    if rows.group is not None:
        rows.group[:] = group_codes(table[GROUP_ID])
    return rows


def _fill_categories(categorical_NC: Words, table: pa.Table, schema: Schema, moments: Moments) -> None:
    features = schema.features
    for index, (name, feature) in enumerate(features.categorical.items()):
        categorical_NC[:, index] = embedding_rows(_flat(table[name]), name, feature)
    cut = [name for name in features.numeric if moments[name].edges is not None]
    for index, name in enumerate(cut, start=len(features.categorical)):
        categorical_NC[:, index] = bucketed(transformed(table[name], features.numeric[name]), moments[name])


def _fill_numbers(numeric_NM: Floats, table: pa.Table, schema: Schema, moments: Moments) -> None:
    """Standardised, NaN where missing."""
    plain = [(name, f) for name, f in schema.features.numeric.items() if moments[name].edges is None]
    for index, (name, feature) in enumerate(plain):
        values, moment = _float32(table[name], feature), moments[name]
        with np.errstate(over="ignore"):  # an infinite outlier is cut by the network like any other
            numeric_NM[:, index] = (values - np.float32(moment.mean)) / np.float32(moment.scale)


def _float32(column: pa.ChunkedArray, feature: Numeric) -> Floats:
    if feature.transform == "none":
        stored: Floats = column.to_numpy().astype(np.float32, copy=False)
        return stored
    return transformed(column, feature).astype(np.float32)


def embedding_rows(values: pa.Array, name: str, feature: Categorical) -> npt.NDArray[np.int32]:
    """(N,) ids -> (N,) embedding rows, 0 where missing."""
    if feature.ids == "dense":
        return dense_rows(values, feature.buckets)
    return hash_rows(values, name, feature.buckets)


def bucketed(values: Values, moment: Moment) -> Ints:
    """(N,) values with NaN for missing -> (N,) embedding rows: 0 for missing, else 1 + the number of edges below."""
    rows = np.searchsorted(np.array(moment.edges), values, side="right").astype(np.int64) + 1
    return np.where(np.isnan(values), np.int64(MISSING), rows)


def group_codes(column: pa.ChunkedArray) -> Ints:
    """(N,) group ids -> (N,) codes below 2^56, equal for equal ids; -1 where null."""
    ids = _flat(column)
    codes = (hash_words(ids, "group") >> np.uint64(8)).astype(np.int64)
    return np.where(ids.is_null().to_numpy(zero_copy_only=False), np.int64(-1), codes)


def _bags(column: pa.ListArray, name: str, feature: Multivalued) -> Bags:
    """Lists of N rows -> hashed bags. A null or empty list is a bag of the one missing row."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    hashed = embedding_rows(column.flatten(), name, feature)
    counts = np.maximum(lengths, 1)
    values = np.full(counts.sum(), MISSING, dtype=np.int64)
    values[np.repeat(lengths > 0, counts)] = hashed
    return Bags(values=values, counts=counts)


def _view_type(column: pa.Array, schema: Schema) -> Ints:
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    known_codes = pc.index_in(encoded.dictionary, value_set=pa.array(schema.view_type.names, pa.string()))
    codes = known_codes.take(encoded.indices)
    if codes.null_count:
        known = ", ".join(schema.view_type.names)
        raise SchemaError(f"view_type: {codes.null_count} rows hold none of {known}; ingest the day again.")
    indices: Ints = codes.to_numpy(zero_copy_only=False).astype(np.int64)
    return indices


def _flat(column: pa.ChunkedArray) -> pa.Array:
    """One array, with dictionary encoding as it is."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return column.unify_dictionaries().combine_chunks()
