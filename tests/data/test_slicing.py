"""mmoe.data.slicing: the slices that a schema declares, of the rows as they lie in a partition."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmoe.data.hashing import GroupShare
from mmoe.data.slicing import named, slice_columns
from mmoe.errors import SchemaError
from mmoe.parsing import parse
from mmoe.schema import Schema, load_schema

SLICES = {
    "age": {"of": "age", "edges": [20, 40]},
    "country": {"of": "country", "values": ["de", "fr"]},
    "hour": {"of": "event_time", "edges": [6, 18]},
}


def declaring(schema: Schema, slices=SLICES, **changes) -> Schema:
    return parse(Schema, schema.model_dump(mode="json") | {"slices": slices} | changes, "test", SchemaError)


def rows(hours: list[int]) -> pa.Table:
    times = [datetime(2026, 3, 2, hour, 59, tzinfo=UTC) for hour in hours]
    return pa.table({
        "age": pa.array([19.9, 20, None, 40][: len(hours)]),
        "country": pa.array(["fr", "xx", None, "de"][: len(hours)]),
        "event_time": pa.array(times, pa.timestamp("us", tz="UTC")),
    })  # fmt: skip


def test_edges_begin_a_slice_others_share_one_and_null_is_missing(small_schema) -> None:
    found = {name: column.to_pylist() for name, column in named(rows([5, 6, 17, 18]), declaring(small_schema)).items()}
    assert found == {
        "age": ["under 20", "20 to 40", "missing", "from 40"],
        "country": ["fr", "other", "missing", "de"],
        "hour": ["under 6", "6 to 18", "6 to 18", "from 18"],
    }


def test_hours_are_those_of_the_logs_own_days(small_schema) -> None:
    shifted = declaring(small_schema, event_time={"day_starts_utc": 8})
    assert named(rows([15, 16, 22]), shifted)["hour"].to_pylist() == ["from 18", "under 6", "6 to 18"]


def test_columns_are_of_the_rows_that_a_share_keeps_in_their_order(make_partition, next_day, small_schema) -> None:
    schema, share = declaring(small_schema), GroupShare(salt="s", share=0.3, keep=True)
    partition = make_partition(next_day)
    table = pq.read_table(partition.files[0])
    kept = share.mask(table["group_id"].combine_chunks())
    found = slice_columns(partition, schema, [share])
    assert found.keys() == SLICES.keys()
    age = table["age"].to_numpy(zero_copy_only=False)[kept]
    expected = np.select([np.isnan(age), age < 20, age < 40], ["missing", "under 20", "20 to 40"], "from 40")
    assert found["age"].to_pylist() == expected.tolist()
    assert slice_columns(partition, small_schema) == {}


@pytest.mark.parametrize(
    ("slices", "said"),
    [
        ({"a": {"of": "country", "edges": [1]}}, "not a numeric feature or event_time"),
        ({"a": {"of": "age", "values": ["1"]}}, "not a categorical feature"),
        ({"a": {"of": "age"}}, "give edges"),
        ({"a": {"of": "age", "edges": [2, 1]}}, "must ascend"),
        ({"label": {"of": "age", "edges": [2]}}, "a column of score sets has this name"),
    ],
)  # fmt: skip
def test_a_slice_that_cannot_be_cut_is_refused(small_schema, slices, said) -> None:
    with pytest.raises(SchemaError, match=said):
        declaring(small_schema, slices)


def test_slices_change_what_score_sets_are_called_and_no_partition(small_schema) -> None:
    first, other = declaring(small_schema), declaring(small_schema, {"age": {"of": "age", "edges": [30]}})
    assert first.fingerprint == other.fingerprint == small_schema.fingerprint
    assert len({first.slices_digest, other.slices_digest, small_schema.slices_digest}) == 3


@pytest.mark.parametrize("name", ["ads", "kuairand"])
def test_the_shipped_schemas_declare_slices(name) -> None:
    assert {"hour", "history_length"} <= load_schema(name).slices.keys()
