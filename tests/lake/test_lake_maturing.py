"""Labels that are final some days after their event: `save` of the handmade log, a day later."""

import json
from datetime import date, timedelta

import pyarrow as pa
import pytest
from handmade import DAY, SCHEMA, deliver, raw_rows, replaced, staged_table

from mmoe.lake.horizon import Horizon, advance_horizon
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Validation
from mmoe.lake.maturing import days_to_renew
from mmoe.lake.publish import publish

NEXT = DAY + timedelta(days=1)
FINAL = DAY + timedelta(days=2)
"""At its start `save` of DAY is final."""


def ingest(store, landing, day, as_of=None):
    staged = stage_day(store, landing, SCHEMA, day, as_of=as_of)
    return publish(store, staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA)


def saves(store, landing, as_of):
    table = staged_table(store, stage_day(store, landing, SCHEMA, DAY, as_of=as_of))
    return dict(zip(table["event_id"].to_pylist(), table["save"].to_pylist(), strict=True))


def updates(raw, values):
    """event_id, event_time and save alone."""
    return replaced(raw.select(["event_id", "event_time", "save"]), "save", pa.array(values, pa.int8()))


def test_a_label_claimed_before_it_is_final_is_null_until_then(store, landing):
    raw = raw_rows()
    deliver(landing, raw)
    assert set(saves(store, landing, NEXT).values()) == {None}
    assert list(saves(store, landing, FINAL).values()).count(1) == sum(raw["save"].to_pylist())


@pytest.mark.parametrize("complete", [True, False], ids=["complete rows", "a label update"])
def test_a_later_delivery_fills_the_label_and_overrules_an_early_claim(store, landing, complete):
    raw = raw_rows(rows=6)
    deliver(landing, replaced(raw, "save", pa.array([0, 1, None, None, 1, 0], pa.int8())))
    final = pa.array([1, 0, 1, 0, None, None], pa.int8())
    deliver(landing, replaced(raw, "save", final) if complete else updates(raw, final), "saves.parquet", day=NEXT)
    deliver(landing, raw_rows(NEXT, rows=5, seed=1), day=NEXT)
    ingest(store, landing, DAY)
    counts = ingest(store, landing, NEXT).counts
    assert (counts["rows_read"], counts["off_day_rows"]) == (11, 6)
    assert days_to_renew(store, SCHEMA, FINAL) == [DAY]
    manifest = ingest(store, landing, DAY, FINAL)
    assert (manifest.rows, manifest.counts["label_fills"], manifest.counts["conflicts"]) == (6, 4, 0)
    assert days_to_renew(store, SCHEMA, FINAL) == []
    found = saves(store, landing, FINAL)
    assert [found[name] for name in raw["event_id"].to_pylist()] == [1, 0, 1, 0, 1, 0]


def test_two_final_claims_that_differ_are_a_conflict_and_the_first_stands(store, landing):
    raw = raw_rows(rows=2)
    deliver(landing, raw)
    deliver(landing, updates(raw, [1, 1]), "a.parquet", day=NEXT)
    deliver(landing, updates(raw, [0, 1]), "b.parquet", day=NEXT)
    ingest(store, landing, NEXT)
    counts = ingest(store, landing, DAY, FINAL).counts
    assert (counts["label_fills"], counts["conflicts"], counts["duplicates"]) == (2, 1, 1)
    assert set(saves(store, landing, FINAL).values()) == {1}


def test_an_update_without_a_time_belongs_to_the_day_of_its_folder(store, landing):
    raw = raw_rows(rows=3)
    deliver(landing, replaced(raw, "save", pa.nulls(3, pa.int8())))
    lines = [json.dumps({"event_id": name, "save": 1}) for name in raw["event_id"].to_pylist()]
    (landing / f"dt={DAY}" / "saves.jsonl").write_text("\n".join(lines))
    staged = stage_day(store, landing, SCHEMA, DAY, as_of=FINAL)
    assert (staged.problems, staged.rows, staged.counts["label_fills"]) == ((), 3, 3)
    assert staged.labels["save"].positives == 3


def test_an_update_of_an_event_that_is_not_there_is_counted_and_makes_no_row(store, landing):
    raw = raw_rows(rows=4)
    deliver(landing, raw.slice(0, 3))
    deliver(landing, updates(raw, [1, 1, 1, 1]), "saves.parquet")
    staged = stage_day(store, landing, SCHEMA, DAY, as_of=FINAL)
    assert (staged.rows, staged.counts["unmatched_updates"]) == (3, 1)


def test_days_are_renewed_once_their_labels_are_final_and_not_again(store, landing):
    days = [DAY - timedelta(days=age) for age in (2, 1, 0)]
    for day in days:
        deliver(landing, raw_rows(day), day=day)
        ingest(store, landing, day)
    assert days_to_renew(store, SCHEMA, days[1]) == []
    assert days_to_renew(store, SCHEMA, DAY) == days[:1]
    assert days_to_renew(store, SCHEMA, DAY + timedelta(days=9)) == days
    ingest(store, landing, days[0], DAY)
    assert days_to_renew(store, SCHEMA, NEXT) == [days[1]]


def test_a_day_that_has_expired_in_part_is_left_alone(store, landing):
    deliver(landing, raw_rows())
    ingest(store, landing, DAY)
    assert days_to_renew(store, SCHEMA, FINAL) == [DAY]
    advance_horizon(store, Horizon(day=DAY, view_types={"search": NEXT}))
    assert days_to_renew(store, SCHEMA, FINAL) == []


def test_only_a_file_that_holds_nothing_of_a_row_is_a_label_update(store, landing):
    deliver(landing, raw_rows())
    deliver(landing, raw_rows().select(["event_id", "event_time", "save", "device"]), "saves.parquet")
    (problem,) = stage_day(store, landing, SCHEMA, DAY, as_of=date(2027, 1, 1)).problems
    assert problem.what.startswith("another schema: columns missing: view_type")
