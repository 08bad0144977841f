"""A raw table to the canonical columns of a partition, with a problem for each column whose values do not fit."""

import hashlib
from datetime import date
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmoe.lake.coerce import Coerced, flat, to_float32, to_int64, to_label, to_list, to_text, to_time
from mmoe.lake.partitions import GROUP_ID, canonical_schema
from mmoe.schema import EVENT_ID, EVENT_TIME, VIEW_TYPE, Schema

DAY_US = 86_400_000_000
SEPARATOR = "\x1f"


class Conformed(NamedTuple):
    table: pa.Table
    misfits: dict[tuple[str, str], int]
    """Rows whose value did not fit, by column and what is wrong with it."""
    whole_groups: bool
    """Whether the group ids that there are came as whole numbers."""


def required_columns(schema: Schema) -> tuple[str, ...]:
    """Every source column that the schema names, each once, in the schema's order."""
    features = schema.features
    groups = [] if schema.group_id in _feature_columns(schema) else [schema.group_id]
    columns = [*schema.event_id, schema.event_time.column, schema.view_type.column, *groups]
    for kind in (features.categorical, features.numeric, features.multivalued, schema.labels):
        columns += [declared.column or name for name, declared in kind.items()]
    return tuple(dict.fromkeys(columns))


def group_type(schema: Schema, *, whole: bool) -> pa.DataType:
    """A group id is typed as the categorical it names; any other column is int64 where all of the day's are whole."""
    feature = schema.features.categorical.get(schema.group_id)
    if feature is not None:
        whole = feature.type == "int"
    return pa.int64() if whole else pa.string()


def passing_schema(schema: Schema) -> pa.Schema:
    """Of rows on their way to a partition: a group id that is no feature is text until the whole day is known."""
    return canonical_schema(schema, group_type(schema, whole=False))


def conform(raw: pa.Table, schema: Schema) -> Conformed:
    """Names and order of a partition, types of `passing_schema`. `raw` has every required column."""
    target = passing_schema(schema)
    parts = {name: _coerced(raw, schema, name) for name in target.names}
    misfits = {
        (name, _misfit(schema, name, target.field(name).type)): part.broken
        for name, part in parts.items()
        if part.broken
    }
    table = pa.table([part.values for part in parts.values()], schema=target)
    return Conformed(table, misfits, _is_whole(flat(raw[_group_column(schema)])))


def day_offsets(times: pa.ChunkedArray, schema: Schema, day: date) -> NDArray[np.int64]:
    """Whole days from `day` to each event's own day, by the schema's hour at which days start; nulls count as 0."""
    shift = schema.event_time.day_starts_utc * 3_600_000_000
    start = (day - date(1970, 1, 1)).days
    micros = pc.fill_null(times.cast(pa.int64()), start * DAY_US - shift).to_numpy()
    return np.asarray((micros + shift) // DAY_US - start)


def _coerced(raw: pa.Table, schema: Schema, name: str) -> Coerced:
    features = schema.features
    if name == EVENT_ID:
        return _event_ids(raw, schema)
    if name == EVENT_TIME:
        return to_time(flat(raw[schema.event_time.column]), schema.event_time.unit)
    if name == VIEW_TYPE:
        return _view_types(raw, schema)
    if name == GROUP_ID:
        values = flat(raw[_group_column(schema)])
        return to_int64(values) if group_type(schema, whole=False) == pa.int64() else to_text(values)
    if name in features.numeric:
        numeric = features.numeric[name]
        return to_float32(flat(raw[numeric.column or name]), nan_is_missing=numeric.nan_is_missing)
    if name in features.categorical:
        categorical = features.categorical[name]
        values = flat(raw[categorical.column or name])
        return to_int64(values) if categorical.type == "int" else to_text(values)
    if name in features.multivalued:
        bag = features.multivalued[name]
        return to_list(flat(raw[bag.column or name]), integers=bag.type == "int", separator=bag.separator)
    return to_label(flat(raw[schema.labels[name].column or name]))


def _feature_columns(schema: Schema) -> dict[str, str]:
    return {name: feature.column or name for name, feature in schema.features.categorical.items()}


def _group_column(schema: Schema) -> str:
    return _feature_columns(schema).get(schema.group_id, schema.group_id)


def _is_whole(values: pa.Array) -> bool:
    if pa.types.is_integer(values.type):
        return to_int64(values).broken == 0
    return bool(values.null_count == len(values))


def _event_ids(raw: pa.Table, schema: Schema) -> Coerced:
    """One column as text; several as a 128-bit hash of their texts, null where any of them is."""
    texts = [to_text(flat(raw[column])) for column in schema.event_id]
    broken = max(text.broken for text in texts)
    if len(texts) == 1:
        return Coerced(texts[0].values, broken)
    joined = pc.binary_join_element_wise(*(text.values for text in texts), SEPARATOR)
    hashed = [None if text is None else _hash(text) for text in joined.to_pylist()]
    return Coerced(pa.array(hashed, pa.string()), broken)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _view_types(raw: pa.Table, schema: Schema) -> Coerced:
    values, broken = to_text(flat(raw[schema.view_type.column]))
    if schema.view_type.other is not None:
        listed = pc.is_in(values, value_set=pa.array(schema.view_type.values, pa.string()))
        values = pc.if_else(pc.or_(listed, values.is_null()), values, schema.view_type.other)
    return Coerced(values, broken)


def _misfit(schema: Schema, name: str, kind: pa.DataType) -> str:
    if name == EVENT_TIME:
        return f"values that are no time (event_time.unit: {schema.event_time.unit})"
    if name in schema.features.numeric:
        return "values that are no finite number (NaN for missing? set nan_is_missing)"
    if name in schema.labels:
        return "values that are no whole number"
    if pa.types.is_list(kind):
        bag = schema.features.multivalued[name]
        return f"values that are no {'list' if bag.separator is None else 'separated text'} of type {bag.type}"
    return f"values that are no {kind}"
