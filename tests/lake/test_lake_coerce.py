from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from mmoe.lake.coerce import flat, to_float32, to_int64, to_label, to_list, to_text, to_time


def listed(coerced):
    return coerced.values.to_pylist(), coerced.broken


@pytest.mark.parametrize(
    ("source", "expected", "broken"),
    [
        (pa.array([1, None, -3], pa.int8()), [1, None, -3], 0),
        (pa.array([2**63 - 1, 2**63], pa.uint64()), [2**63 - 1, None], 1),
        (pa.array([True, False, None]), [1, 0, None], 0),
        (pa.array([1.0, 2.5, float("nan"), float("inf"), 2.0**60, None]), [1, None, None, None, None, None], 3),
        (pa.array([" 7 ", "-12", "3.0", "3.5", "x", "", None]), [7, -12, 3, None, None, None, None], 2),
        (pa.array(["9223372036854775807", "9223372036854775808", "99999999999999999999"]), [2**63 - 1, None, None], 2),
        (pa.array([Decimal("4.00"), Decimal("4.20")]), [4, None], 1),
        (pa.array([date(2026, 1, 1)]), [None], 1),
        (pa.array([None, None], pa.null()), [None, None], 0),
    ],
)
def test_integers_are_taken_exactly_or_counted(source, expected, broken):
    assert listed(to_int64(source)) == (expected, broken)


def test_an_id_beyond_float_precision_survives():
    assert listed(to_int64(pa.array([16777217, 2**53 + 1]))) == ([16777217, 2**53 + 1], 0)
    assert listed(to_int64(pa.array([str(2**53 + 1)]))) == ([2**53 + 1], 0)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (pa.array(["a", "", None]), ["a", None, None]),
        (pa.array([1, None], pa.int8()), ["1", None]),
        (pa.array([1.0, 0.5, float("nan")]), ["1", "0.5", None]),
        (pa.array([True]), ["true"]),
        (flat(pa.chunked_array([pa.array(["b", "b"]).dictionary_encode()])), ["b", "b"]),
    ],
)
def test_text_is_the_same_from_every_source_type(source, expected):
    assert listed(to_text(source)) == (expected, 0)


def test_numbers_that_are_not_finite_in_float32_are_counted():
    source = pa.array([1.5, None, float("inf"), float("-inf"), 1e300, float("nan")])
    assert listed(to_float32(source, nan_is_missing=False)) == ([1.5, None, None, None, None, None], 4)
    assert to_float32(source, nan_is_missing=True).broken == 3
    text = pa.array(["1.5", "1e3", "+2", "-.5", "inf", "abc", ""])
    assert listed(to_float32(text, nan_is_missing=False)) == ([1.5, 1000.0, 2.0, -0.5, None, None, None], 2)
    assert listed(to_float32(pa.array([["x"]]), nan_is_missing=False)) == ([None], 1)


MOMENT = datetime(2026, 3, 10, 12, 30, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("source", "unit"),
    [
        (pa.array([MOMENT], pa.timestamp("ns", tz="UTC")), "timestamp"),
        (pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("ms")), "timestamp"),
        (pa.array([MOMENT], pa.timestamp("us", tz="Asia/Tokyo")), "timestamp"),
        (pa.array(["2026-03-10T12:30:00.250Z"]), "iso"),
        (pa.array(["2026-03-10 12:30:00.25"]), "timestamp"),
        (pa.array(["2026-03-10T13:30:00.25+01:00"]), "iso"),
        (pa.array([int(MOMENT.timestamp() * 1000)]), "ms"),
        (pa.array([str(int(MOMENT.timestamp() * 1e6))]), "us"),
        (pa.array([MOMENT.timestamp()]), "s"),
        (pa.array([str(MOMENT.timestamp())]), "s"),
    ],
)
def test_every_way_to_state_a_time_is_the_same_moment(source, unit):
    assert listed(to_time(source, unit)) == ([MOMENT], 0)


@pytest.mark.parametrize(
    ("source", "unit", "broken"),
    [
        (pa.array(["2026-13-45", "yesterday", None, "2026-03-10"]), "iso", 2),
        (pa.array(["zzz"]), "ms", 1),
        (pa.array([2**62, -(2**63), 0]), "ms", 2),
        (pa.array([float("nan"), 1e30]), "s", 2),
        (pa.array([1_700_000_000]), "timestamp", 1),
        (pa.array(["0001-01-01", "9999-12-31"]), "iso", 2),
    ],
)
def test_an_unparsable_time_is_counted(source, unit, broken):
    coerced = to_time(source, unit)
    assert coerced.broken == broken
    assert coerced.values.null_count == broken + source.null_count


def test_labels_keep_what_is_a_small_whole_number_for_validation_to_judge():
    assert listed(to_label(pa.array([0, 1, 7, None, 300, -129]))) == ([0, 1, 7, None, None, None], 2)
    assert listed(to_label(pa.array([True, False]))) == ([1, 0], 0)
    assert listed(to_label(pa.array(["True", "false", "1", "0.0", "truely"]))) == ([1, 0, 1, 0, None], 1)
    assert listed(to_label(pa.array([0.0, 1.0, 0.5, float("nan")]))) == ([0, 1, None, None], 1)


def test_lists_come_from_lists_or_from_separated_text():
    nested = pa.array([[1, None, 2], None, []], pa.list_(pa.int32()))
    assert listed(to_list(nested, integers=True, separator=None)) == ([[1, 2], None, []], 0)
    assert listed(to_list(pa.array(["a, b,,", "c", None, ""]), integers=False, separator=",")) == (
        [["a", "b"], ["c"], None, None],
        0,
    )
    assert listed(to_list(pa.array(["1|x|3"]), integers=True, separator="|")) == ([[1, 3]], 1)
    assert listed(to_list(pa.array([[1, 2]], pa.list_(pa.int64(), 2)), integers=False, separator=None)) == (
        [["1", "2"]],
        0,
    )
    assert listed(to_list(pa.array([5]), integers=True, separator=None)) == ([None], 1)
    assert listed(to_list(nested.slice(2), integers=True, separator=None)) == ([[]], 0)
