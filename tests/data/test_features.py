"""mmoe.data.features and moments: equal to a slow row-by-row reference."""

import math
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmoe.data.features import encode
from mmoe.data.hashing import hash_words
from mmoe.data.moments import Moment, measure_moments, quantile_edges
from mmoe.errors import ConfigError, SchemaError

DAY = date(2026, 3, 1)


@pytest.fixture
def partition(make_partition):
    return make_partition(DAY)


def raw(partition) -> pa.Table:
    return pq.read_table(partition.files[0])


def hashed(value: int | str | None, name: str, buckets: int) -> int:
    return 0 if value is None else 1 + int(hash_words(pa.array([value]), name)[0]) % buckets


def test_encoding_equals_a_row_by_row_reference(partition, small_schema) -> None:
    moments = {"age": Moment(mean=2.0, scale=0.5), "quality": Moment(mean=0.1, scale=2.0)}
    rows = encode(raw(partition), small_schema, moments)
    topics = rows.bags[0]
    for index, row in enumerate(raw(partition).to_pylist()):
        expected = [hashed(row["user_id"], "user_id", 500), hashed(row["country"], "country", 16)]
        assert rows.categorical[index].tolist() == expected
        age = None if row["age"] is None else (math.log1p(row["age"]) - 2.0) / 0.5
        assert rows.numeric[index, 0] == pytest.approx(math.nan if age is None else age, abs=1e-5, nan_ok=True)
        assert rows.numeric[index, 1] == pytest.approx((row["quality"] - 0.1) / 2, abs=1e-5)
        values = topics.values[topics.offsets[index] : topics.offsets[index] + topics.counts[index]]
        expected_bag = [hashed(topic, "topics", 32) for topic in row["topics"]] if row["topics"] else [0]
        assert values.tolist() == expected_bag
        assert rows.view_type[index] == ["search", "home_feed"].index(row["view_type"])
        labels = [row[head] for head in ("click", "long_click", "hide")]
        np.testing.assert_array_equal(rows.labels[index], [np.nan if label is None else label for label in labels])


def test_dense_ids_are_encoded_by_their_count_and_hashed_ones_as_ever(partition, small_schema) -> None:
    categorical = small_schema.features.categorical
    dense = categorical | {"user_id": categorical["user_id"].model_copy(update={"ids": "dense", "buckets": 10**6})}
    features = small_schema.features.model_copy(update={"categorical": dense})
    schema = small_schema.model_copy(update={"features": features})
    moments = {"age": Moment(mean=0.0, scale=1.0), "quality": Moment(mean=0.0, scale=1.0)}
    hashed, found = (encode(raw(partition), each, moments).categorical for each in (small_schema, schema))
    users = raw(partition)["user_id"].to_pylist()
    assert found[:, 0].tolist() == [0 if user is None else 1 + user % 10**6 for user in users]
    np.testing.assert_array_equal(found[:, 1], hashed[:, 1])
    assert schema.fingerprint != small_schema.fingerprint


def test_moments_equal_those_of_all_rows_at_once(make_partition, small_schema) -> None:
    partitions = [make_partition(DAY), make_partition(date(2026, 3, 2), rows=77)]
    moments = measure_moments(partitions, small_schema)
    table = pa.concat_tables([raw(partition) for partition in partitions])
    age = np.log1p(table["age"].drop_null().to_numpy().astype(np.float64))
    assert moments["age"].mean == pytest.approx(age.mean(), rel=1e-12)
    assert moments["age"].scale == pytest.approx(age.std(), rel=1e-12)


def test_bucketed_numbers_become_categories_cut_at_quantiles_of_the_window(make_partition, small_schema) -> None:
    partition = make_partition(date(2026, 3, 1), rows=1000)
    moments = measure_moments([partition], small_schema, {"quality": 4})
    assert moments["age"].edges is None
    quality = raw(partition)["quality"].to_numpy()
    rows = encode(raw(partition), small_schema, moments)
    assert rows.numeric.shape == (1000, 1)
    assert rows.categorical.shape == (1000, 3)
    expected = [1 + sum(value >= edge for edge in moments["quality"].edges) for value in quality]
    assert rows.categorical[:, 2].tolist() == expected
    assert np.bincount(rows.categorical[:, 2], minlength=5) == pytest.approx([0, 250, 250, 250, 250], abs=1)


def test_a_missing_bucketed_number_has_row_0_and_few_values_make_few_buckets(make_partition, small_schema) -> None:
    partition = make_partition(date(2026, 3, 1), rows=400)
    table = raw(partition)
    moments = measure_moments([partition], small_schema, {"age": 8})
    rows = encode(table, small_schema, moments).categorical[:, 2]
    null = table["age"].is_null().to_numpy()
    assert null.any() and (rows[null] == 0).all() and (rows[~null] > 0).all()
    assert quantile_edges(np.array([5.0, 5.0, np.nan, 5.0, 7.0]), 4) == (5.0,)
    assert quantile_edges(np.array([np.nan]), 4) == ()


def test_quantiles_come_from_every_kth_row_of_all_files(make_partition, small_schema, monkeypatch) -> None:
    partitions = [make_partition(date(2026, 3, day), rows=900, row_group=70) for day in (1, 2)]
    monkeypatch.setattr("mmoe.data.moments.SAMPLE", 600)
    quality = np.concatenate([raw(partition)["quality"].to_numpy() for partition in partitions])
    edges = measure_moments(partitions, small_schema, {"quality": 3})["quality"].edges
    assert edges == quantile_edges(quality[::3], 3)


def test_a_name_that_is_no_number_cannot_be_bucketed(partition, small_schema) -> None:
    with pytest.raises(ConfigError, match=r"numeric_buckets.country: no numeric feature.*age, quality"):
        measure_moments([partition], small_schema, {"country": 4})


def test_log1p_keeps_the_sign(small_schema, partition) -> None:
    table = raw(partition).slice(0, 2)
    for name, values in {"age": [1 - math.e, math.e - 1], "quality": [-1e30, None]}.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.float32()))
    rows = encode(table, small_schema, {"age": Moment(), "quality": Moment()})
    assert rows.numeric.tolist() == [
        [pytest.approx(-1), pytest.approx(-1e30)],
        [pytest.approx(1), pytest.approx(math.nan, nan_ok=True)],
    ]


def test_a_constant_or_absent_feature_is_not_divided_by_zero(make_partition, small_schema) -> None:
    partition = make_partition(DAY)
    table = raw(partition)
    table = table.set_column(table.column_names.index("age"), "age", pa.nulls(len(table), pa.float32()))
    table = table.set_column(
        table.column_names.index("quality"), "quality", pa.array(np.full(len(table), 1e6, np.float32))
    )
    pq.write_table(table, partition.files[0])
    moments = measure_moments([partition], small_schema)
    assert moments == {"age": Moment(mean=0.0, scale=1.0), "quality": Moment(mean=1e6, scale=1.0)}


def test_an_unknown_view_type_is_named_without_its_value(partition, small_schema) -> None:
    table = raw(partition)
    table = table.set_column(2, "view_type", pa.array(["secret"] * len(table)))
    with pytest.raises(SchemaError, match="600 rows hold none of search, home_feed") as error:
        encode(table, small_schema, {"age": Moment(), "quality": Moment()})
    assert "secret" not in str(error.value)
