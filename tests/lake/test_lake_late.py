"""Rows that come with another day than their own, through the steps that deal with them."""

from datetime import timedelta

import pyarrow as pa
import pytest
from every_store import EVERY_STORE
from handmade import DAY, SCHEMA, deliver, raw_rows, staged_table

from mmoe.errors import PartitionMissingError
from mmoe.lake.horizon import Horizon, advance_horizon
from mmoe.lake.ingest import stage_day
from mmoe.lake.late import waiting
from mmoe.lake.manifest import Validation
from mmoe.lake.maturing import days_to_renew
from mmoe.lake.publish import publish
from mmoe.lake.reader import open_partition, read_manifest
from mmoe.schema import Schema

NEXT = DAY + timedelta(days=1)
THIRD = DAY + timedelta(days=2)


def stage(store, landing, day, schema=SCHEMA):
    return stage_day(store, landing, schema, day, as_of=day + timedelta(days=1))


def put(store, staged, schema=SCHEMA):
    return publish(store, staged, Validation(status="passed", subject=staged.digest, checks=1), schema)


def ingest(store, landing, day):
    return put(store, stage(store, landing, day))


def part(rows, start, count):
    return rows.slice(start, count)


def balances(counts, rows):
    came = counts["rows_read"] + counts["late_rows"]
    reasons = ("duplicates", "label_fills", "conflicts", "unmatched_updates", "off_day_rows")
    return came == rows + sum(counts[reason] for reason in reasons)


@pytest.fixture
def two_days(landing):
    """20 rows of DAY come with NEXT; 5 of them had come on time already."""
    rows = raw_rows(rows=100)
    deliver(landing, part(rows, 0, 85))
    deliver(landing, raw_rows(NEXT, rows=50, seed=1), day=NEXT)
    deliver(landing, part(rows, 80, 20), "late.parquet", day=NEXT)
    return rows


@pytest.mark.parametrize("lake_url", EVERY_STORE, indirect=True)
def test_late_rows_join_the_partition_of_their_own_day_once(any_store, landing, two_days):
    store = any_store
    assert ingest(store, landing, DAY).rows == 85
    staged = stage(store, landing, NEXT)
    assert [(late.day, late.file.rows) for late in staged.late] == [(DAY, 20)]
    assert waiting(store) == {}  # not before their delivery has passed
    manifest = put(store, staged)
    assert (manifest.rows, manifest.counts["off_day_rows"], manifest.counts["refused_rows"]) == (50, 20, 0)
    assert days_to_renew(store, SCHEMA, NEXT) == [DAY]
    again = ingest(store, landing, DAY)
    assert (again.rows, again.counts["late_rows"], again.counts["duplicates"]) == (100, 20, 5)
    assert balances(manifest.counts, 50)
    assert balances(again.counts, 100)
    assert days_to_renew(store, SCHEMA, NEXT) == []
    assert ingest(store, landing, DAY) == again
    ids = pa.concat_tables(pa.parquet.read_table(file) for file in open_partition(store, DAY, SCHEMA).files)["event_id"]
    assert sorted(ids.to_pylist()) == sorted(two_days["event_id"].to_pylist())


def test_the_order_of_publications_does_not_change_a_byte(store, landing, two_days, tmp_path):
    from mmoe.lake.store import open_store

    other = open_store(str(tmp_path / "other"))
    ingest(store, landing, DAY)
    ingest(store, landing, NEXT)
    ingest(store, landing, DAY)
    ingest(other, landing, NEXT)
    ingest(other, landing, DAY)
    assert {entry.key: store.read_bytes(entry.key) for entry in store.list("")} == {
        entry.key: other.read_bytes(entry.key) for entry in other.list("")
    }


def test_a_corrected_delivery_takes_its_late_rows_back(store, landing, two_days):
    ingest(store, landing, DAY)
    ingest(store, landing, NEXT)
    ingest(store, landing, DAY)
    (landing / f"dt={NEXT}" / "late.parquet").unlink()
    ingest(store, landing, NEXT)
    assert waiting(store) == {}
    assert days_to_renew(store, SCHEMA, NEXT) == [DAY]
    assert ingest(store, landing, DAY).rows == 85


def test_a_delivery_with_problems_passes_nothing_on(store, landing, two_days):
    (landing / f"dt={NEXT}" / "broken.parquet").write_bytes(b"PAR1")
    staged = stage(store, landing, NEXT)
    assert staged.problems
    assert staged.late == ()


def test_rows_of_the_next_day_go_there_and_those_further_ahead_are_a_problem(store, landing):
    deliver(landing, raw_rows(rows=50))
    deliver(landing, raw_rows(NEXT, rows=7, seed=1), "early.parquet")
    staged = stage(store, landing, DAY)
    assert ([(late.day, late.file.rows) for late in staged.late], staged.rows) == ([(NEXT, 7)], 50)
    put(store, staged)
    deliver(landing, raw_rows(NEXT, rows=10, seed=2), day=NEXT)
    assert stage(store, landing, NEXT).rows == 17
    deliver(landing, raw_rows(THIRD, rows=3, seed=3), "clock.parquet")
    (problem,) = stage(store, landing, DAY).problems
    assert (problem.column, problem.rows) == ("event_time", 3)
    assert "correct the producer's clock" in problem.what


def test_rows_that_come_too_late_or_lie_behind_the_horizon_are_refused_and_counted(store, landing):
    for age in (7, 8):
        deliver(landing, raw_rows(DAY - timedelta(days=age), rows=age, seed=age), f"{age}.parquet")
    deliver(landing, raw_rows(rows=30))
    staged = stage(store, landing, DAY)
    assert (staged.counts["off_day_rows"], staged.counts["refused_rows"], staged.problems) == (15, 8, ())
    assert [(late.day, late.file.rows) for late in staged.late] == [(DAY - timedelta(days=7), 7)]
    advance_horizon(store, Horizon(day=DAY - timedelta(days=6)))
    put(store, staged)  # staged before the horizon moved
    assert waiting(store) == {}
    assert stage(store, landing, DAY).counts["refused_rows"] == 15
    assert not [entry for entry in store.list("") if f"dt={DAY - timedelta(days=7)}" in entry.key]


def test_late_rows_of_another_schema_or_with_other_bytes_are_a_problem_that_says_what_to_do(store, landing, two_days):
    ingest(store, landing, NEXT)
    changed = SCHEMA.model_dump(mode="json")
    changed["features"]["categorical"]["ad_id"]["buckets"] = 7
    (problem,) = stage(store, landing, DAY, Schema.model_validate(changed)).problems
    assert (problem.file.split("/rows")[0], problem.rows) == (f"late/from={NEXT}", None)
    assert "ingest and publish the day that it came with again" in problem.what
    (key,) = [entry.key for entry in store.list("late/")]
    store.write_bytes(key, store.read_bytes(key)[:-1])
    assert "bytes have changed" in stage(store, landing, DAY).problems[0].what


def test_a_publication_whose_late_rows_vanished_says_so(store, landing, two_days):
    staged = stage(store, landing, NEXT)
    store.delete(entry.key for entry in store.list("_staging/late/"))
    with pytest.raises(PartitionMissingError, match="run ingest for the day again"):
        put(store, staged)


def test_a_group_that_is_no_feature_keeps_its_kind_across_late_rows(store, landing):
    content = SCHEMA.model_dump(mode="json") | {"group_id": "unused"}
    schema = Schema.model_validate(content)

    def with_groups(values, rows):
        return rows.set_column(rows.column_names.index("unused"), "unused", [values])

    deliver(landing, with_groups(list(range(5)), raw_rows(rows=5)))
    for late, kind in [([7, 8, 9], pa.int64()), (["q7", "q8", "q9"], pa.string())]:
        deliver(landing, with_groups(late, raw_rows(rows=3, seed=1)), day=NEXT)
        deliver(landing, with_groups([1], raw_rows(NEXT, rows=1, seed=2)), "own.parquet", day=NEXT)
        put(store, stage(store, landing, NEXT, schema), schema)
        assert staged_table(store, stage(store, landing, DAY, schema)).schema.field("group_id").type == kind
    assert read_manifest(store, NEXT).rows == 1
