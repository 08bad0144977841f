"""Canonical Arrow rows to model inputs: hashed ids, standardised numbers, bags, labels. No Python per row."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmoe.data.hashing import MISSING, hash_rows, hash_words
from mmoe.data.moments import Moment, Moments, Values, transformed
from mmoe.data.rows import Bags, Floats, Ints, Rows
from mmoe.errors import SchemaError
from mmoe.lake.partitions import GROUP_ID
from mmoe.schema import EVENT_ID, VIEW_TYPE, Multivalued, Schema

IDENTITY = [EVENT_ID, GROUP_ID]


def feature_columns(schema: Schema) -> list[str]:
    """The columns that `encode` reads."""
    features = schema.features
    return [VIEW_TYPE, *features.categorical, *features.numeric, *features.multivalued, *schema.labels]


def encode(
    table: pa.Table,
    schema: Schema,
    moments: Moments,
    *,
    teachers: tuple[Floats, ...] = (),
    with_groups: bool = False,
    with_identity: bool = False,
) -> Rows:
    """N canonical rows -> Rows. `teachers` are (N, H) logits that travel with the rows.

    Numeric features whose moment has edges become categories, after the categorical ones.

    Raises SchemaError for a view type the schema does not know.
    """
    features = schema.features
    plain = [name for name in features.numeric if moments[name].edges is None]
    values = {name: transformed(table[name], feature) for name, feature in features.numeric.items()}
    categorical = [hash_rows(_flat(table[name]), name, f.buckets) for name, f in features.categorical.items()]
    categorical += [bucketed(values[name], moments[name]) for name in values if name not in plain]
    numeric = _stacked((values[name] for name in plain), len(table), np.float32)
    standard, missing = _standardised(numeric, [moments[name] for name in plain])
    labels = (table[name].cast(pa.float32()).to_numpy() for name in schema.labels)
    return Rows(
        categorical=_stacked(categorical, len(table), np.int64),
        numeric=standard,
        missing=missing,
        bags=tuple(_bags(_flat(table[name]), name, f) for name, f in features.multivalued.items()),
        view_type=_view_type(_flat(table[VIEW_TYPE]), schema),
        labels=_stacked(labels, len(table), np.float32),
        teachers=teachers,
        group=group_codes(table[GROUP_ID]) if with_groups else None,
        identity=table.select(IDENTITY) if with_identity else None,
    )


def bucketed(values: Values, moment: Moment) -> Ints:
    """(N,) values with NaN for missing -> (N,) embedding rows: 0 for missing, else 1 + the number of edges below."""
    rows = np.searchsorted(np.array(moment.edges), values, side="right").astype(np.int64) + 1
    return np.where(np.isnan(values), np.int64(MISSING), rows)


def group_codes(column: pa.ChunkedArray) -> Ints:
    """(N,) group ids -> (N,) codes below 2^56, equal for equal ids; -1 where null."""
    ids = _flat(column)
    codes = (hash_words(ids, "group") >> np.uint64(8)).astype(np.int64)
    return np.where(ids.is_null().to_numpy(zero_copy_only=False), np.int64(-1), codes)


def _stacked(columns: Iterable[np.ndarray], rows: int, dtype: type) -> np.ndarray:
    """(N,) columns -> (N, columns), also when there are none."""
    together = list(columns)
    return np.stack(together, axis=1).astype(dtype, copy=False) if together else np.empty((rows, 0), dtype=dtype)


def _standardised(values: Floats, moments: list[Moment]) -> tuple[Floats, Floats]:
    """(N, M) values with NaN for missing -> (N, M) standardised with 0 for missing, (N, M) 1 where missing."""
    missing = np.isnan(values)
    mean = np.array([moment.mean for moment in moments], dtype=np.float32)
    scale = np.array([moment.scale for moment in moments], dtype=np.float32)
    with np.errstate(over="ignore"):  # an infinite outlier is cut by the network like any other
        standard = (values - mean) / scale
    return np.where(missing, np.float32(0), standard), missing.astype(np.float32)


def _bags(column: pa.ListArray, name: str, feature: Multivalued) -> Bags:
    """Lists of N rows -> hashed bags. A null or empty list is a bag of the one missing row."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    hashed = hash_rows(column.flatten(), name, feature.buckets)
    counts = np.maximum(lengths, 1)
    values = np.full(counts.sum(), MISSING, dtype=np.int64)
    values[np.repeat(lengths > 0, counts)] = hashed
    return Bags(values=values, counts=counts)


def _view_type(column: pa.Array, schema: Schema) -> Ints:
    codes = pc.index_in(column, value_set=pa.array(schema.view_type.names, pa.string()))
    if codes.null_count:
        known = ", ".join(schema.view_type.names)
        raise SchemaError(f"view_type: {codes.null_count} rows hold none of {known}; ingest the day again.")
    indices: Ints = codes.to_numpy(zero_copy_only=False).astype(np.int64)
    return indices


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
