"""Expectations judged block by block, against Great Expectations on the whole frame."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmoe.quality import blocks
from mmoe.quality.blocks import Blocks
from mmoe.quality.judge import judge

RULES = [
    {"type": f"expect_{name}", "kwargs": kwargs, "severity": "critical"}
    for name, kwargs in [
        ("table_row_count_to_be_between", {"min_value": 999, "max_value": 1_001}),
        ("table_row_count_to_be_between", {"min_value": 1_002}),
        ("table_columns_to_match_ordered_list", {"column_list": ["id", "name", "label", "other", "price"]}),
        ("column_values_to_be_unique", {"column": "id"}),
        ("column_values_to_be_unique", {"column": "name"}),
        ("column_values_to_not_be_null", {"column": "label", "mostly": 0.89}),
        ("column_values_to_not_be_null", {"column": "label", "mostly": 0.91}),
        ("column_values_to_be_in_set", {"column": "label", "value_set": [0, 1]}),
        ("column_values_to_be_in_set", {"column": "label", "value_set": [1], "mostly": 0.2}),
        ("column_values_to_be_between", {"column": "price", "min_value": 0, "max_value": 3}),
        ("column_values_to_match_regex", {"column": "name", "regex": "^n[0-9]+$"}),
        ("column_mean_to_be_between", {"column": "label", "min_value": 0.2, "max_value": 0.4}),
        ("column_mean_to_be_between", {"column": "label", "min_value": 0.4}),
        ("column_sum_to_be_between", {"column": "other", "min_value": 1, "max_value": 2}),
        ("column_proportion_of_non_null_values_to_be_between", {"column": "label", "min_value": 0.95}),
        ("column_distinct_values_to_contain_set", {"column": "name", "value_set": ["n1", "n2"]}),
        ("column_distinct_values_to_equal_set", {"column": "other", "value_set": [0, 1]}),
        ("column_median_to_be_between", {"column": "price", "min_value": 0.9, "max_value": 1.1}),
        ("column_stdev_to_be_between", {"column": "price", "max_value": 0.5}),
        ("column_pair_values_a_to_be_greater_than_b", {
            "column_A": "label", "column_B": "other", "or_equal": True, "ignore_row_if": "either_value_is_missing",
            "mostly": 0.8,
        }),
        ("compound_columns_to_be_unique", {"column_list": ["name", "other"]}),
        ("compound_columns_to_be_unique", {"column_list": ["id", "other"]}),
    ]
]  # fmt: skip


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    n = 1_000
    return pa.table(
        {
            "id": [f"event-{number}" for number in range(n)],
            "name": [f"n{number}" for number in rng.integers(0, 400, n)],
            "label": pa.array((rng.random(n) < 0.3).astype(np.int8), mask=rng.random(n) < 0.1),
            "other": (rng.random(n) < 0.2).astype(np.int8),
            "price": rng.lognormal(size=n),
        }
    )


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 70)
    monkeypatch.setattr(blocks, "HASHED_ROWS", 300)


def saved(tmp_path, table):
    half = table.num_rows // 2
    paths = (tmp_path / "a.parquet", tmp_path / "b.parquet")
    for path, part in zip(paths, (table.slice(0, half), table.slice(half)), strict=True):
        pq.write_table(part, path, row_group_size=110)
    return Blocks(paths=paths)


def on_the_whole_frame(table):
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("reference").add_dataframe_asset("frame")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table.to_pandas()})
    numbered = [{**rule, "meta": {"number": number}} for number, rule in enumerate(RULES)]
    outcome = batch.validate(gx.ExpectationSuite(name="all", expectations=numbered), result_format="BASIC")
    return sorted(outcome.results, key=lambda result: result.expectation_config.meta["number"])


@pytest.mark.usefixtures("small_blocks")
def test_blocks_are_judged_as_great_expectations_judges_the_whole_frame(tmp_path, table):
    judged, reference = judge(RULES, saved(tmp_path, table)), on_the_whole_frame(table)
    assert [each.success for each in judged] == [result.success for result in reference]
    assert {each.success for each in judged} == {True, False}
    for each, result, rule in zip(judged, reference, RULES, strict=True):
        assert each.evaluated
        if "element_count" in result.result:
            assert each.unexpected == result.result["unexpected_count"], rule
        if each.observed is not None:
            assert each.observed == pytest.approx(result.result["observed_value"]), rule


@pytest.mark.usefixtures("small_blocks")
def test_no_statistic_that_may_be_a_rows_value_is_told(tmp_path, table):
    rules = [
        {
            "type": f"expect_column_{what}_to_be_between",
            "kwargs": {"column": "price", "max_value": -1},
            "severity": "info",
        }
        for what in ("max", "min", "median", "sum")
    ]
    assert [(each.success, each.observed) for each in judge(rules, saved(tmp_path, table))] == [(False, None)] * 4
    few = saved(tmp_path, table.slice(0, 2))
    mean = {
        "type": "expect_column_mean_to_be_between",
        "kwargs": {"column": "price", "max_value": -1},
        "severity": "info",
    }
    assert judge([mean], few)[0].observed is None


@pytest.mark.usefixtures("small_blocks")
def test_what_cannot_be_evaluated_fails_and_is_not_quoted(tmp_path, table, capfd, caplog):
    names = {
        "type": "expect_column_mean_to_be_between",
        "kwargs": {"column": "name", "max_value": 1},
        "severity": "info",
    }
    absent = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "absent"}, "severity": "info"}
    for rule in (names, absent):
        found = judge([rule], saved(tmp_path, table))[0]
        assert (found.success, found.evaluated) == (False, False)
    said = capfd.readouterr()
    assert "n1" not in said.out + said.err + caplog.text


def test_rows_of_one_value_are_judged_alone(tmp_path, table):
    rule = {"type": "expect_table_row_count_to_be_between", "kwargs": {"max_value": 0}, "severity": "info"}
    paths = saved(tmp_path, table).paths
    first = table["name"][0].as_py()
    found = judge([rule], Blocks(paths=paths, where=("name", first), columns=("name",)))[0]
    assert found.observed == table["name"].to_pylist().count(first)
