import subprocess
import sys
from datetime import date, timedelta

import pytest
from handmade import SCHEMA, deliver, raw_rows
from interrupted import Interrupted, InterruptedStore

from mmoe.config import RetentionConfig
from mmoe.errors import LakeError, PartitionExpiredError
from mmoe.lake import ledger, retention
from mmoe.lake.holds import hold, release
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Failure, Validation
from mmoe.lake.partitions import scores_key
from mmoe.lake.publish import publish, quarantine, save_validation
from mmoe.lake.reader import open_partition, published_days, read_manifest

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(6)]
AS_OF = DAYS[-1] + timedelta(days=1)
KEEP_FOUR = RetentionConfig(days=4, max_share=0.5)  # the horizon is DAYS[2]


@pytest.fixture
def lake(store, landing):
    """Six published days, each with every kind of copy that a day can have."""
    for day in DAYS:
        deliver(landing, raw_rows(day, rows=20), day=day)
        staged = stage_day(store, landing, SCHEMA, day)
        failure = Failure(expectation="x", severity="critical", detail="1 of 20 rows")
        quarantine(store, staged, Validation(status="failed", subject=staged.digest, checks=1, failures=(failure,)))
        validation = Validation(status="passed", subject=staged.digest, checks=1)
        save_validation(store, day, validation)
        publish(store, staged, validation, SCHEMA)
        store.write_bytes(scores_key(day, "m" * 8), b"scores")
    return store


def files_of(store, landing, day):
    found = [entry.key for entry in store.list("") if f"dt={day}" in entry.key]
    return found + [str(path) for path in landing.rglob("*") if f"dt={day}" in str(path) and path.is_file()]


def state(store, landing):
    files = {entry.key: store.read_bytes(entry.key) for entry in store.list("")}
    return files | {str(path): path.read_bytes() for path in sorted(landing.rglob("*")) if path.is_file()}


def expire(store, landing, as_of=AS_OF, config=KEEP_FOUR, **options):
    return retention.apply(store, landing, retention.plan(store, landing, as_of, config), **options)


def test_a_plan_says_what_would_go_and_touches_nothing(lake, landing):
    before = state(lake, landing)
    plan = retention.plan(lake, landing, AS_OF, KEEP_FOUR)
    assert state(lake, landing) == before
    assert plan.horizon == DAYS[2]
    assert (plan.expired_days, plan.kept_days) == (tuple(DAYS[:2]), tuple(DAYS[2:]))
    kinds = {item.kind for item in plan.items if item.day == DAYS[0]}
    assert kinds == {"engagement", "landing", "quarantine", "scores", "validation", "staging"}
    engagement = next(item for item in plan.items if item.kind == "engagement")
    assert (engagement.rows, engagement.files) == (20, 2)
    assert engagement.digest == read_manifest(lake, DAYS[0]).digest


def test_an_expired_day_is_gone_everywhere_and_cannot_come_back(lake, landing):
    outcome = expire(lake, landing)
    assert all(files_of(lake, landing, day) == [] for day in DAYS[:2])
    assert published_days(lake) == DAYS[2:]
    for refused in (lambda: open_partition(lake, DAYS[0], SCHEMA), lambda: stage_day(lake, landing, SCHEMA, DAYS[0])):
        with pytest.raises(PartitionExpiredError):
            refused()
    assert retention.horizon(lake) == DAYS[2]
    entry = ledger.entries(lake)[-1]
    assert entry.hash == outcome.ledger_entry
    assert entry.statement.items == outcome.items
    assert ledger.expired_days(lake) == DAYS[:2]
    assert retention.audit(lake, landing).ok


def test_a_second_run_finds_nothing_and_adds_no_entry(lake, landing):
    expire(lake, landing)
    before = state(lake, landing)
    assert expire(lake, landing).ledger_entry is None
    assert state(lake, landing) == before


def test_a_run_killed_at_any_change_ends_in_the_same_state_when_run_again(lake, landing):
    start = state(lake, landing)
    expire(lake, landing)
    expected = state(lake, landing)
    for step in range(100):
        for path in [*lake.root.rglob("*"), *landing.rglob("*")]:
            if path.is_file():
                path.unlink()
        for key, content in start.items():
            (lake.root / key).parent.mkdir(parents=True, exist_ok=True)
            (lake.root / key).write_bytes(content)  # landing files have absolute paths
        try:
            expire(InterruptedStore(lake, step), landing)
            break
        except Interrupted:
            assert expire(lake, landing).ledger_entry is not None or retention.audit(lake, landing).ok
            assert state(lake, landing).keys() - {"_retention/tombstone.json"} == expected.keys()
            assert ledger.entries(lake) == [ledger.Entry.model_validate_json(expected["_retention/ledger.jsonl"])]
            assert retention.audit(lake, landing).ok
    assert 10 < step < 99


def test_the_horizon_never_moves_back(lake, landing):
    expire(lake, landing)
    plan = retention.plan(lake, landing, AS_OF - timedelta(days=3), RetentionConfig(days=30))
    assert plan.horizon == DAYS[2]
    retention.apply(lake, landing, plan, confirmed=True)
    assert retention.horizon(lake) == DAYS[2]


def test_deleting_most_of_the_lake_needs_a_person(lake, landing):
    plan = retention.plan(lake, landing, AS_OF + timedelta(days=2), KEEP_FOUR)
    assert plan.share == pytest.approx(4 / 6)
    before = state(lake, landing)
    with pytest.raises(LakeError, match=r"max_share=0\.5: this run would delete 4 of 6 partitions"):
        retention.apply(lake, landing, plan)
    assert state(lake, landing) == before
    retention.apply(lake, landing, plan, confirmed=True)
    assert published_days(lake) == DAYS[4:]


def test_a_file_that_arrives_behind_the_horizon_is_found_and_removed(lake, landing):
    expire(lake, landing)
    deliver(landing, raw_rows(DAYS[0]), day=DAYS[0])
    report = retention.audit(lake, landing)
    assert not report.ok
    assert [(item.kind, item.day) for item in report.readable] == [("landing", DAYS[0])]
    expire(lake, landing)
    assert retention.audit(lake, landing).ok


def test_what_a_killed_write_left_behind_expires_with_its_day(lake, landing):
    killed = f"""
import os, pathlib, shutil
from mmoe.lake.store import open_store
shutil.copyfile = lambda source, target: (pathlib.Path(target).write_bytes(b"half"), os.kill(os.getpid(), 9))
open_store({str(lake.root)!r}).put_file(pathlib.Path("any"), "engagement/dt={DAYS[0]}/part-0-ab.parquet")
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -9
    prefix = f"engagement/dt={DAYS[0]}/part-0-ab"
    assert [(copy.kind, copy.size) for copy in lake.copies(prefix)] == [("upload", 4)]
    expire(lake, landing)
    assert lake.copies(prefix) == ()


def test_a_held_day_is_kept_unreadable_and_reported_until_released(lake, landing):
    hold(lake, DAYS[0], "case 17")
    outcome = expire(lake, landing)
    assert outcome.held == (DAYS[0],)
    assert files_of(lake, landing, DAYS[0])
    assert files_of(lake, landing, DAYS[1]) == []
    with pytest.raises(PartitionExpiredError):
        open_partition(lake, DAYS[0], SCHEMA)
    report = retention.audit(lake, landing)
    assert (report.ok, report.held) == (True, (DAYS[0],))
    release(lake, DAYS[0])
    expire(lake, landing)
    assert files_of(lake, landing, DAYS[0]) == []
    assert [entry.statement.kind for entry in ledger.entries(lake)] == ["hold", "expired", "release", "expired"]


def test_a_damaged_manifest_does_not_keep_a_day(lake, landing):
    lake.write_bytes(f"engagement/dt={DAYS[0]}/manifest.json", b"damaged")
    expire(lake, landing)
    assert files_of(lake, landing, DAYS[0]) == []


def test_an_audit_finds_a_horizon_moved_back_and_a_ledger_rewritten(lake, landing):
    expire(lake, landing)
    horizon = lake.read_bytes("_retention/horizon.json")
    lake.write_bytes("_retention/horizon.json", horizon.replace(b"2026-03-03", b"2026-03-02"))
    assert "The horizon is 2026-03-02, but the ledger states 2026-03-03" in retention.audit(lake, landing).problems[0]
    lake.write_bytes("_retention/horizon.json", horizon)
    lines = lake.read_bytes(ledger.LEDGER_KEY)
    lake.write_bytes(ledger.LEDGER_KEY, lines.replace(b'"rows": 20', b'"rows": 19'))
    assert "not what its hash says" in retention.audit(lake, landing).problems[0]
    lake.write_bytes(ledger.LEDGER_KEY, lines[:-40])
    assert "is no ledger entry" in retention.audit(lake, landing).problems[0]


def test_the_ledger_holds_counts_and_digests_only(lake, landing):
    expire(lake, landing)
    text = lake.read_bytes(ledger.LEDGER_KEY).decode()
    for row in raw_rows(DAYS[0], rows=20).to_pylist():
        assert row["event_id"] not in text
        assert str(row["user_id"]) not in text
