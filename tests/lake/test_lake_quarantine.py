from datetime import UTC, datetime

import pyarrow as pa
import pytest
from handmade import DAY, SCHEMA, deliver, raw_rows, replaced
from interrupted import Interrupted, InterruptedStore

from mmoe.errors import LakeError, PartitionExpiredError, PartitionMissingError
from mmoe.lake.horizon import Horizon, advance_horizon
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Failure, Validation
from mmoe.lake.publish import publish
from mmoe.lake.quarantine import (
    list_quarantined,
    list_releases,
    quarantine,
    read_release,
    release,
    with_release,
    withdraw,
)
from mmoe.lake.reader import find_manifest, open_partition, published_days, read_manifest

AT = datetime(2026, 3, 11, 9, 30, tzinfo=UTC)


def failed(staged):
    failures = (
        Failure(expectation="column_mean_to_be_between", column="click", severity="critical", detail="0.9 is outside"),
        Failure(expectation="column_psi_to_be_between", column="price", severity="warning", detail="0.3 is outside"),
    )
    return Validation(status="failed", subject=staged.digest, checks=2, failures=failures)


def broken_rows():
    """200 rows, of which seven cannot be in a partition: two of them twice over."""
    raw = raw_rows()
    ids, clicks, views, times = (raw[name].to_pylist() for name in ("event_id", "click", "view_type", "event_time"))
    ids[3] = ids[4] = None
    clicks[4], clicks[5] = 2, 2
    views[6], views[7] = "elsewhere", None
    times[8], clicks[8] = None, None
    clicks[9] = None
    ids[10] = None
    for name, values in (("event_id", ids), ("click", clicks), ("view_type", views), ("event_time", times)):
        raw = replaced(raw, name, pa.array(values, raw.schema.field(name).type))
    return raw


def quarantined(store, landing, raw=None):
    deliver(landing, raw_rows() if raw is None else raw)
    staged = stage_day(store, landing, SCHEMA, DAY)
    quarantine(store, staged, failed(staged))
    return staged


def decide(store, **changes):
    return release(store, DAY, **{"actor": "ada", "reason": "a known outage", "at": AT} | changes)


def published(store, staged):
    return publish(store, staged, with_release(store, DAY, failed(staged)), SCHEMA)


def test_a_released_day_is_published_with_who_why_when_and_what_was_overridden(store, landing):
    staged = quarantined(store, landing)
    decision = decide(store)
    manifest = published(store, staged)
    assert manifest.validation.status == "released"
    assert manifest.validation.release == decision
    assert (decision.actor, decision.reason, decision.at) == ("ada", "a known outage", AT)
    assert [failure.column for failure in decision.overrides] == ["click"]
    assert manifest.validation.warnings == (
        "released from quarantine by ada: a known outage",
        "click: column_mean_to_be_between: 0.9 is outside",
        "price: column_psi_to_be_between: 0.3 is outside",
    )
    assert open_partition(store, DAY, SCHEMA).rows == 200
    assert list_quarantined(store) == []
    assert [record.closed_by for record in list_quarantined(store, closed=True)] == [manifest.digest]
    assert list_releases(store, DAY) == [decision]


def test_rows_that_no_partition_can_hold_stay_out_counted(store, landing):
    raw = broken_rows()
    staged = quarantined(store, landing, raw)
    decide(store)
    manifest = published(store, staged)
    assert manifest.counts["left_out_rows"] == 7
    assert manifest.rows == 193
    partition = open_partition(store, DAY, SCHEMA)
    rows = pa.concat_tables(pa.parquet.read_table(path) for path in partition.files)
    assert rows["event_id"].null_count == rows["event_time"].null_count == 0
    assert set(rows["view_type"].to_pylist()) == {"home", "search"}
    assert set(rows["click"].to_pylist()) == {0, 1, None}
    assert manifest.labels["click"].nulls == rows["click"].null_count == 1
    assert manifest.nulls["price"] == rows["price"].null_count
    assert sum(manifest.view_type_rows.values()) == 193


def test_a_day_of_which_no_row_can_be_published_is_refused(store, landing):
    staged = quarantined(store, landing, replaced(raw_rows(), "event_id", pa.nulls(200, pa.string())))
    decide(store)
    with pytest.raises(LakeError, match="none of its 200 rows can be published"):
        published(store, staged)
    assert published_days(store) == []


def test_the_same_rows_ingested_again_are_still_released_and_others_are_not(store, landing):
    staged = quarantined(store, landing, broken_rows())
    decide(store)
    first = published(store, staged)
    again = stage_day(store, landing, SCHEMA, DAY)
    assert published(store, again) == first
    deliver(landing, raw_rows(seed=5))
    other = stage_day(store, landing, SCHEMA, DAY)
    judged = with_release(store, DAY, failed(other))
    assert judged.status == "failed"
    with pytest.raises(LakeError, match="its validation failed"):
        publish(store, other, judged, SCHEMA)


def test_the_first_decision_stands(store, landing):
    quarantined(store, landing)
    first = decide(store)
    assert decide(store, actor="bob", reason="another", at=AT.replace(hour=12)) == first


def test_a_release_is_of_quarantined_unchanged_and_retained_rows(store, landing):
    with pytest.raises(PartitionMissingError, match="nothing is staged"):
        decide(store)
    deliver(landing, raw_rows())
    stage_day(store, landing, SCHEMA, DAY)
    with pytest.raises(LakeError, match="nothing is in quarantine"):
        decide(store)
    staged = quarantined(store, landing)
    for empty in ({"actor": " "}, {"reason": ""}):
        with pytest.raises(LakeError, match="say who releases the day, and why"):
            decide(store, **empty)
    deliver(landing, raw_rows(seed=1))
    stage_day(store, landing, SCHEMA, DAY)
    with pytest.raises(LakeError, match="other rows than those in quarantine"):
        decide(store)
    quarantined(store, landing)
    path = store.local_path(f"_staging/dt={DAY}/{staged.files[0].name}")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LakeError, match="changed since ingest"):
        decide(store)
    advance_horizon(store, Horizon(day=DAY.replace(day=11)))
    with pytest.raises(PartitionExpiredError):
        decide(store)
    assert read_release(store, DAY, staged.digest) is None


def test_a_release_killed_at_any_write_ends_in_the_same_state_when_run_again(store, landing):
    """The decision and the publication of a day with rows that stay out, over an earlier publication."""
    deliver(landing, raw_rows(seed=9))
    good = stage_day(store, landing, SCHEMA, DAY)
    publish(store, good, Validation(status="passed", subject=good.digest, checks=1), SCHEMA)
    staged = quarantined(store, landing, broken_rows())
    start = {entry.key: store.read_bytes(entry.key) for entry in store.list("")}

    def run(lake):
        decide(lake)
        published(lake, staged)

    def content():
        return {entry.key: store.read_bytes(entry.key) for entry in store.list("")}

    expected, finished, step = None, False, -1
    while not finished:
        step += 1
        store.delete([entry.key for entry in store.list("")])
        for key, value in start.items():
            store.write_bytes(key, value)
        try:
            run(InterruptedStore(store, step))
            finished = True
        except Interrupted:
            open_partition(store, DAY, SCHEMA)
        run(store)
        expected = expected or content()
        assert content() == expected, step
    assert step >= 4


def test_a_publication_that_is_not_what_it_states_is_withdrawn(store, landing):
    deliver(landing, raw_rows())
    staged = stage_day(store, landing, SCHEMA, DAY)
    manifest = publish(store, staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA)
    withdraw(store, manifest, failed(staged))
    assert find_manifest(store, DAY) is None
    assert [record.reason for record in list_quarantined(store)] == [
        "withdrawn after publication: click: column_mean_to_be_between: 0.9 is outside"
    ]
    again = stage_day(store, landing, SCHEMA, DAY)
    newer = publish(store, again, Validation(status="passed", subject=again.digest, checks=1), SCHEMA)
    withdraw(store, newer.model_copy(update={"counts": {}}), failed(staged))  # another publication came meanwhile
    assert read_manifest(store, DAY) == newer
