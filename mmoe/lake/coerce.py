"""Arrow columns of any sensible source type to the schema's types, strictly: a misfit is counted, never guessed at.

Each function returns the values, null where they did not fit, and how many rows did not fit.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

INT64_MAX = "9223372036854775807"
EXACT = {"halffloat": 2.0**11, "float": 2.0**24, "double": 2.0**53}
"""By float type: from here on a whole number may be what is left of another one."""
NO_TEXT = "\0"
"""Stands in a column of text for a value that is none and has no other place there, such as an object in JSON lines."""
FACTOR = {"s": 1_000_000, "ms": 1_000, "us": 1}
EARLIEST_US, LATEST_US = -2_208_988_800_000_000, 7_258_118_400_000_000  # 1900 and 2200


class Coerced(NamedTuple):
    values: pa.Array
    broken: int


def to_int64(values: pa.Array) -> Coerced:
    """Integers, booleans, whole floats that are exact (NaN is missing) and text of these. Never through a float."""
    kind = values.type
    if pa.types.is_uint64(kind):
        return _cast_where(values, pc.less_equal(values, pa.scalar(int(INT64_MAX), kind)), pa.int64())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return Coerced(values.cast(pa.int64()), 0)
    if pa.types.is_floating(kind):
        known = _nan_to_null(values.cast(pa.float64()))
        whole = pc.and_(pc.equal(pc.floor(known), known), pc.less(pc.abs(known), EXACT[str(kind)]))
        return _cast_where(known, whole, pa.int64())
    if pa.types.is_decimal(kind) or _is_text(kind):
        return _text_to_int64(_clean_text(values))
    return _nothing_fits(values, pa.int64())


def to_text(values: pa.Array) -> Coerced:
    """Text as it is (empty is missing, NO_TEXT broken), whole numbers without a point, booleans as true and false."""
    kind = values.type
    if _is_text(kind):
        text = _empty_to_null(values.cast(pa.string()))
        return _cast_where(text, pc.not_equal(text, NO_TEXT), pa.string())
    if (
        pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_temporal(kind)
        or pa.types.is_decimal(kind)
    ):
        return Coerced(values.cast(pa.string()), 0)
    if pa.types.is_floating(kind):
        whole = to_int64(values)
        known = _nan_to_null(values.cast(pa.float64()))
        return Coerced(pc.coalesce(whole.values.cast(pa.string()), known.cast(pa.string())), 0)
    return _nothing_fits(values, pa.string())


def to_float32(values: pa.Array, *, nan_is_missing: bool) -> Coerced:
    """Finite numbers and number text. An infinite value, or one beyond float32, is broken; NaN as the schema says."""
    kind = values.type
    unreadable = 0
    if _is_text(kind):
        values, unreadable = _text_to_float64(values)
    elif not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        if not pa.types.is_decimal(kind):
            return _nothing_fits(values, pa.float32())
        values = values.cast(pa.float64())
    narrow = values.cast(pa.float32(), safe=False)
    if nan_is_missing:
        narrow = _nan_to_null(narrow)
    finite, broken = _cast_where(narrow, pc.is_finite(narrow), pa.float32())
    return Coerced(finite, unreadable + broken)


def to_time(values: pa.Array, unit: str) -> Coerced:
    """UTC microseconds. Times without a zone are UTC; years outside 1900 to 2199 do not fit."""
    kind = values.type
    if unit in FACTOR:
        return _count_to_time(values, FACTOR[unit])
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = values.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        return _sensible_time(micros.cast(pa.int64()))
    if _is_text(kind):
        return _text_to_time(_clean_text(values))
    return _nothing_fits(values, pa.timestamp("us", tz="UTC"))


def to_label(values: pa.Array) -> Coerced:
    """int8, whatever the number: that it is 0 or 1 is for an expectation to judge."""
    whole, broken = to_int64(values)
    small = pc.and_(pc.greater_equal(whole, -128), pc.less_equal(whole, 127))
    label, beyond = _cast_where(whole, small, pa.int8())
    return Coerced(label, broken + beyond)


def to_list(values: pa.Array, *, integers: bool, separator: str | None) -> Coerced:
    """Lists of int64 or text, from lists or, with a separator, from text. Missing elements are left out."""
    target = pa.int64() if integers else pa.string()
    if separator is not None and _is_text(values.type):
        values = pc.split_pattern(_clean_text(values), separator)
    if pa.types.is_fixed_size_list(values.type):
        values = values.cast(pa.list_(values.type.value_type))
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        return _nothing_fits(values, pa.list_(target))
    row = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
    elements = _decoded(pc.list_flatten(values))
    if _is_text(elements.type):
        elements = _clean_text(elements)
    elements, _ = coerced = to_int64(elements) if integers else to_text(elements)
    known = elements.is_valid().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.bincount(row[known], minlength=len(values)).cumsum()]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), elements.drop_null(), mask=values.is_null())
    return Coerced(lists, coerced.broken)


def flat(column: pa.ChunkedArray) -> pa.Array:
    """One array with dictionary encoding undone."""
    return _decoded(column.combine_chunks())


def _decoded(values: Any) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _cast_where(values: pa.Array, fits: pa.Array, target: pa.DataType) -> Coerced:
    kept = pc.if_else(pc.fill_null(fits, False), values, pa.scalar(None, values.type))
    return Coerced(kept.cast(target), kept.null_count - values.null_count)


def _nothing_fits(values: pa.Array, target: pa.DataType) -> Coerced:
    return Coerced(pa.nulls(len(values), target), len(values) - values.null_count)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _clean_text(values: pa.Array) -> pa.Array:
    return _empty_to_null(pc.utf8_trim_whitespace(values.cast(pa.string())))


def _empty_to_null(text: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _nan_to_null(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def _text_to_int64(text: pa.Array) -> Coerced:
    digits = pc.replace_substring_regex(text, r"\.0+$", "")
    for word, digit in (("true", "1"), ("false", "0")):
        digits = pc.replace_substring_regex(digits, f"^(?i:{word})$", digit)
    length = pc.utf8_length(pc.utf8_ltrim(digits, "-"))
    in_range = pc.or_(pc.less(length, 19), pc.less_equal(pc.utf8_ltrim(digits, "-"), INT64_MAX))
    return _cast_where(digits, pc.and_(pc.match_substring_regex(digits, r"^-?\d{1,19}$"), in_range), pa.int64())


def _text_to_float64(values: pa.Array) -> Coerced:
    text = _clean_text(values)
    number = pc.match_substring_regex(text, r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI]nf)$")
    return _cast_where(pc.utf8_ltrim(text, "+"), number, pa.float64())


def _text_to_time(text: pa.Array) -> Coerced:
    import pandas as pd

    parsed = pd.to_datetime(text.to_pandas(), format="ISO8601", utc=True, errors="coerce")
    times, implausible = _sensible_time(
        pa.array(parsed.dt.tz_convert(None).dt.as_unit("us").to_numpy()).cast(pa.int64())
    )
    unreadable = times.null_count - implausible - text.null_count
    return Coerced(times, implausible + unreadable)


def _count_to_time(values: pa.Array, factor: int) -> Coerced:
    whole, broken = to_int64(values)
    if broken and factor > 1 and (_is_text(values.type) or pa.types.is_floating(values.type)):
        return _fraction_to_time(values, factor)
    limit = LATEST_US // factor
    plausible, beyond = _cast_where(whole, pc.and_(pc.greater(whole, -limit), pc.less(whole, limit)), pa.int64())
    times, implausible = _sensible_time(pc.multiply(plausible, factor))
    return Coerced(times, broken + beyond + implausible)


def _fraction_to_time(values: pa.Array, factor: int) -> Coerced:
    number, unreadable = _text_to_float64(values) if _is_text(values.type) else Coerced(values.cast(pa.float64()), 0)
    plausible, beyond = _cast_where(number, pc.less(pc.abs(number), LATEST_US / factor), pa.float64())
    times, implausible = _sensible_time(pc.round(pc.multiply(plausible, float(factor))).cast(pa.int64()))
    return Coerced(times, unreadable + beyond + implausible)


def _sensible_time(micros: pa.Array) -> Coerced:
    sensible = pc.and_(pc.greater_equal(micros, EARLIEST_US), pc.less(micros, LATEST_US))
    return _cast_where(micros, sensible, pa.timestamp("us", tz="UTC"))
