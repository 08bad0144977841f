import subprocess
import sys
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from handmade import DAY, SCHEMA, deliver, raw_rows, replaced

from mmoe.errors import LakeError, PartitionMissingError
from mmoe.lake.examination import read_examination
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Validation
from mmoe.lake.partitions import staging_prefix
from mmoe.lake.publish import publish
from mmoe.lake.quarantine import quarantine
from mmoe.lake.reader import trailing_manifests
from mmoe.lake.store import open_store
from mmoe.quality import validate
from mmoe.quality.rules import derive_suite


def check(store, landing, raw, trailing=()):
    deliver(landing, raw)
    staged = stage_day(store, landing, SCHEMA, DAY, as_of=DAY + timedelta(days=2))
    return staged, validate(store, staged, SCHEMA, list(trailing))


def with_first(raw, name, value, kind=None):
    return replaced(raw, name, pa.array([value, *raw[name].to_pylist()[1:]], kind))


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    """The manifests of the seven days before DAY."""
    root = tmp_path_factory.mktemp("week")
    store = open_store(str(root / "lake"))
    for number in range(7, 0, -1):
        day = DAY - timedelta(days=number)
        deliver(root / "landing", raw_rows(day, rows=2_000, seed=number), day=day)
        staged = stage_day(store, root / "landing", SCHEMA, day, as_of=DAY)
        publish(store, staged, Validation(status="passed", subject=staged.digest, checks=0), SCHEMA)
    return trailing_manifests(store, DAY)


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """A lake with four validated days before DAY, and their manifests."""
    root = tmp_path_factory.mktemp("month")
    store = open_store(str(root / "lake"))
    for number in range(4, 0, -1):
        day = DAY - timedelta(days=number)
        deliver(root / "landing", raw_rows(day, rows=2_000, seed=number), day=day)
        staged = stage_day(store, root / "landing", SCHEMA, day)
        publish(store, staged, validate(store, staged, SCHEMA, trailing_manifests(store, day)), SCHEMA)
    return store, trailing_manifests(store, DAY)


def test_a_clean_day_passes(store, landing):
    staged, validation = check(store, landing, raw_rows())
    assert (validation.status, validation.failures) == ("passed", ())
    assert validation.subject == staged.digest
    examination = read_examination(store, DAY, staged.digest)
    judged = [check for check in examination.checks if check.outcome != "not judged"]
    assert validation.checks == len(judged) + 1
    assert {check.expectation for check in examination.checks if check.outcome == "not judged"} == {
        "column_psi_to_be_between",  # there are no earlier days
        "source_columns_to_be_known",
        "source_columns_to_remain",
        "source_types_to_remain",
    }
    assert len([check for check in examination.checks if check.view_type is None]) == len(
        derive_suite(SCHEMA)["expectations"]
    )


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("click", 2, "click: column_values_to_be_in_set: 1 of 200 rows"),
        ("view_type", "secret", "view_type: column_values_to_be_in_set: 1 of 200 rows"),
        ("view_type", None, "view_type: column_values_to_not_be_null: 1 of 200 rows"),
        ("event_id", None, "event_id: column_values_to_not_be_null: 1 of 200 rows"),
        ("price", float("inf"), "part-0.parquet: price: values that are no finite number"),
        ("price", float("nan"), "part-0.parquet: price: values that are no finite number"),
        ("click", 1000, "part-0.parquet: click: values that are no whole number"),
        ("event_time", None, "event_time: column_values_to_not_be_null: 1 of 200 rows"),
    ],
)
def test_a_broken_value_quarantines_the_day_with_counts_and_no_values(store, landing, name, value, reason):
    kind = pa.int64() if value == 1000 else None
    staged, validation = check(store, landing, with_first(raw_rows(), name, value, kind))
    assert validation.status == "failed"
    record = quarantine(store, staged, validation)
    assert reason in record.reason
    assert "secret" not in record.model_dump_json()
    with pytest.raises(LakeError):
        publish(store, staged, validation, SCHEMA)


def test_a_problem_of_ingest_fails_the_day_whatever_the_rows(store, landing):
    deliver(landing, raw_rows())
    (landing / f"dt={DAY}" / "part-1.parquet").write_bytes(b"")
    validation = validate(store, stage_day(store, landing, SCHEMA, DAY), SCHEMA, [])
    assert [str(failure) for failure in validation.failures] == ["part-1.parquet: the file is empty (0 bytes)"]


def test_a_day_without_rows_fails_although_nothing_in_it_is_wrong(store, landing):
    validation = check(store, landing, raw_rows(rows=1).slice(1))[1]
    assert validation.status == "failed"
    assert "table_row_count_to_be_between" in {failure.expectation for failure in validation.failures}


def test_an_immature_label_may_be_null_and_a_mature_one_may_not(store, landing):
    nulls = pa.nulls(200, pa.int8())
    assert check(store, landing, replaced(raw_rows(), "save", nulls))[1].status == "passed"
    validation = check(store, landing, replaced(raw_rows(), "click", nulls))[1]
    assert validation.status == "failed"
    assert [str(failure) for failure in validation.failures] == ["click: column_values_to_not_be_null: 200 of 200 rows"]


def test_a_feature_that_is_all_missing_is_a_warning(store, landing):
    validation = check(store, landing, replaced(raw_rows(), "price", pa.nulls(200, pa.float64())))[1]
    assert validation.status == "warned"
    assert {failure.column for failure in validation.failures} == {"price"}


def test_a_long_click_without_a_click_is_an_oddity_and_many_are_a_fault(store, landing):
    raw = raw_rows()
    long_click = np.array(raw["long_click"].to_pylist(), np.int8)
    long_click[np.flatnonzero(np.array(raw["click"].to_pylist()) == 0)[:2]] = 1
    assert check(store, landing, replaced(raw, "long_click", pa.array(long_click)))[1].status == "warned"
    swapped = replaced(raw, "long_click", pa.array(np.ones(200, np.int8)))
    assert check(store, landing, swapped)[1].status == "failed"


def test_a_usual_day_passes_against_the_week_before(store, landing, week):
    assert check(store, landing, raw_rows(rows=2_100), week)[1].status == "passed"


def columns_warned(validation):
    assert validation.status == "warned", validation
    return {(failure.expectation, failure.column) for failure in validation.failures}


def test_an_unusual_volume_warns_and_an_extreme_one_fails(store, landing, week):
    volume = {("table_row_count_to_be_between", None)}
    assert columns_warned(check(store, landing, raw_rows(rows=700), week)[1]) == volume
    assert check(store, landing, raw_rows(rows=60), week)[1].status == "failed"


def test_an_unusual_label_rate_warns_and_an_extreme_one_fails(store, landing, week):
    raw = raw_rows(rows=2_000)
    rng = np.random.default_rng(1)
    doubled = replaced(raw, "save", pa.array((rng.random(2_000) < 0.25).astype(np.int8)))
    assert columns_warned(check(store, landing, doubled, week)[1]) == {("column_mean_to_be_between", "save")}
    every = replaced(raw, "save", pa.array(np.ones(2_000, np.int8)))
    assert check(store, landing, every, week)[1].status == "failed"


def test_a_view_type_that_disappears_warns(store, landing, week):
    raw = replaced(raw_rows(rows=2_000), "view_type", pa.array(["home"] * 2_000))
    expected = {("column_distinct_values_to_contain_set", "view_type")}
    assert columns_warned(check(store, landing, raw, week)[1]) == expected


def test_a_feature_that_thins_out_warns(store, landing, week):
    raw = raw_rows(rows=2_000)
    device = [value if row % 4 == 0 else None for row, value in enumerate(raw["device"].to_pylist())]
    validation = check(store, landing, replaced(raw, "device", pa.array(device)), week)[1]
    assert columns_warned(validation) == {("column_proportion_of_non_null_values_to_be_between", "device")}


def test_later_days_do_not_count(store, landing, week):
    staged, reference = check(store, landing, raw_rows(rows=2_000), week)
    later = [past.model_copy(update={"day": DAY + timedelta(days=1), "view_type_rows": {}}) for past in week]
    assert validate(store, staged, SCHEMA, [*week, *later]) == reference


def test_a_feature_that_drifts_warns_and_one_that_is_another_thing_fails(store, landing, month):
    store_of_month, trailing = month
    raw = raw_rows(rows=2_000)
    prices = np.array([0 if price is None else price for price in raw["price"].to_pylist()])
    unknown = np.arange(2_000) % 3 == 0
    dearer = replaced(raw, "price", pa.array(prices * 1.8, mask=unknown))
    assert columns_warned(check(store_of_month, landing, dearer, trailing)[1]) == {
        ("column_psi_to_be_between", "price")
    }
    cents = replaced(raw, "price", pa.array(prices * 100, mask=unknown))
    validation = check(store_of_month, landing, cents, trailing)[1]
    assert validation.status == "failed"
    assert [(failure.column, failure.view_type) for failure in validation.failures] == [("price", None)]


def test_drift_on_one_view_type_is_seen_where_all_rows_hide_it(store, landing, month):
    store_of_month, trailing = month
    raw = raw_rows(rows=4_000)
    few = np.flatnonzero(np.array(raw["view_type"].to_pylist()) == "search")[700:]
    raw = raw.take(pa.array(np.setdiff1d(np.arange(4_000), few)))
    search = np.array(raw["view_type"].to_pylist()) == "search"
    devices = np.array(raw["device"].to_pylist())
    devices[np.flatnonzero(search & (devices == "phone"))[::2]] = "tablet"
    validation = check(store_of_month, landing, replaced(raw, "device", pa.array(devices)), trailing)[1]
    drifted = [failure for failure in validation.failures if failure.expectation == "column_psi_to_be_between"]
    assert [(failure.column, failure.view_type, failure.severity) for failure in drifted] == [
        ("device", "search", "warning")
    ]
    assert str(drifted[0]).startswith("device on search: column_psi_to_be_between: 0.2")


def test_an_unusual_volume_on_one_view_type_warns(store, landing, month):
    store_of_month, trailing = month
    raw = raw_rows(rows=2_000)
    search = np.flatnonzero(np.array(raw["view_type"].to_pylist()) == "search")
    fewer = raw.take(pa.array(np.setdiff1d(np.arange(2_000), search[:700])))
    validation = check(store_of_month, landing, fewer, trailing)[1]
    usual = np.median([past.view_type_rows["search"] for past in trailing])
    low, high = int(usual / 2 - 4 * usual**0.5), int(np.ceil(usual * 2 + 4 * usual**0.5))
    assert [str(failure) for failure in validation.failures if "row_count" in failure.expectation] == [
        f"search: table_row_count_to_be_between: {len(search) - 700} is outside {low} to {high}"
    ]


def test_a_day_without_drift_passes_and_says_what_it_was_compared_with(store, landing, month):
    store_of_month, trailing = month
    staged, validation = check(store_of_month, landing, raw_rows(rows=2_000), trailing)
    assert (validation.status, validation.failures) == ("passed", ())
    examination = read_examination(store_of_month, DAY, staged.digest)
    assert [day.day for day in examination.compared_with] == [6, 7, 8, 9]
    assert {check.outcome for check in examination.checks} == {"held"}


def test_columns_that_come_go_or_change_their_type_are_told_by_name_and_severity(store, landing, month):
    store_of_month, trailing = month
    raw = raw_rows(rows=2_000).append_column("coupon", pa.array(["secret"] * 2_000)).drop_columns("unused")
    raw = replaced(raw, "ad_id", raw["ad_id"].cast(pa.string()))
    validation = check(store_of_month, landing, raw, trailing)[1]
    assert [(str(failure), failure.severity) for failure in validation.failures] == [
        ("source_columns_to_be_known: coupon", "warning"),
        ("source_types_to_remain: ad_id (was int32, is string)", "warning"),
        ("source_columns_to_remain: unused", "info"),
    ]
    assert validation.status == "warned"
    assert validation.warnings == tuple(str(failure) for failure in validation.failures[:2])


def test_a_column_that_comes_and_goes_is_new_once_and_one_less_that_is_needed_quarantines(store, landing, month):
    store_of_month, (*_, last) = month
    raw = raw_rows(rows=2_000)
    columns = {"rows": {**last.source_columns["rows"], "coupon": ("string",), "ad_id": ("int32", "string")}}
    older = last.model_copy(update={"day": last.day - timedelta(days=1), "source_columns": columns})
    without = last.model_copy(update={"source_columns": {}})
    again = raw.append_column("coupon", pa.array(["secret"] * 2_000))
    again = replaced(again, "ad_id", again["ad_id"].cast(pa.string()))
    for rows, trailing in ((raw, [older, last]), (again, [older, last]), (again, [older, without])):
        assert check(store_of_month, landing, rows, trailing)[1].failures == ()
    gone = check(store_of_month, landing, raw, [older, without])[1]
    assert [str(failure) for failure in gone.failures] == ["source_columns_to_remain: coupon"]
    long_ago = older.model_copy(update={"day": last.day - timedelta(days=20)})
    fortnight = [last.model_copy(update={"day": last.day - timedelta(days=number)}) for number in range(14)]
    new = check(store_of_month, landing, again, [long_ago, *fortnight])[1]
    assert [str(failure) for failure in new.failures] == [
        "source_columns_to_be_known: coupon", "source_types_to_remain: ad_id (was int32, is string)",
    ]  # fmt: skip
    broken = check(store_of_month, landing, raw.drop_columns("price"), [older, last])[1]
    assert broken.status == "failed"
    assert "part-0.parquet: another schema: columns missing: price" in {str(each) for each in broken.failures}
    assert not any("source" in failure.expectation for failure in broken.failures)


def test_what_a_file_without_a_header_has_for_names_is_shown_nowhere(store, landing, month):
    store_of_month, trailing = month
    rows = raw_rows(rows=50).drop_columns("topics")
    values = rows.rename_columns([f"secret-{name}" for name in rows.column_names])
    deliver(landing, values, "values.parquet")
    staged, validation = check(store_of_month, landing, raw_rows(rows=2_000), trailing)
    examination = read_examination(store_of_month, DAY, staged.digest)
    assert validation.status == "failed"
    assert not any("secret" in each.model_dump_json() for each in (staged, validation, examination))


def test_validation_can_run_again_after_quarantine_and_says_when_its_rows_are_gone(store, landing):
    staged, validation = check(store, landing, with_first(raw_rows(), "click", 2))
    quarantine(store, staged, validation)
    assert validate(store, staged, SCHEMA, []) == validation
    store.delete(staging_prefix(DAY) + file.name for file in staged.files)
    with pytest.raises(PartitionMissingError, match="run ingest for the day again"):
        validate(store, staged, SCHEMA, [])


def test_importing_quality_does_not_load_great_expectations_or_torch():
    code = "import sys, mmoe.quality; sys.exit(any(name in sys.modules for name in ('great_expectations', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
