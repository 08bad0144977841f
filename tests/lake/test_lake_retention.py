import errno
import os
from datetime import date, timedelta

import pytest
from handmade import SCHEMA, deliver, raw_rows
from interrupted import Interrupted, InterruptedStore
from lakes import AS_OF, DAYS, copies_of, expire, planned, state

from mmoe.config import RetentionConfig
from mmoe.errors import ConfigError, CorruptionError, LakeError, PartitionExpiredError
from mmoe.lake import contents, ledger, retention
from mmoe.lake.audit import audit
from mmoe.lake.holds import Hold, add_hold, end_hold
from mmoe.lake.ingest import stage_day
from mmoe.lake.reader import open_partition, published_days, read_manifest

KEEP_FOUR = RetentionConfig(days=4, max_share=0.5)  # the horizon is DAYS[2]
CASE = Hold(
    first=DAYS[0], last=DAYS[0], owner="legal@example.com", reason="case 17", until=date(2026, 6, 30), added_by="ada"
)


def test_a_plan_says_what_would_go_and_touches_nothing(lake):
    before = state(lake)
    plan = planned(lake, KEEP_FOUR)
    assert state(lake) == before
    assert plan.horizon.day == DAYS[2]
    assert (plan.expired_days, plan.kept_days) == (tuple(DAYS[:2]), tuple(DAYS[2:]))
    kinds = {item.kind for item in plan.items if item.day == DAYS[0]}
    assert kinds == {"engagement", "landing", "quarantine", "scores", "validation", "staging"}
    engagement = next(item for item in plan.items if item.kind == "engagement")
    assert (engagement.rows, engagement.files) == (20, 2)
    assert engagement.digest == read_manifest(lake.store, DAYS[0]).digest


def test_an_expired_day_is_gone_everywhere_and_cannot_come_back(lake, landing):
    outcome = expire(lake, KEEP_FOUR)
    assert copies_of(lake, *DAYS[:2]) == []
    assert published_days(lake.store) == DAYS[2:]
    for refused in (
        lambda: open_partition(lake.store, DAYS[0], SCHEMA),
        lambda: stage_day(lake.store, landing, SCHEMA, DAYS[0]),
    ):
        with pytest.raises(PartitionExpiredError):
            refused()
    assert retention.horizon(lake.store) == DAYS[2]
    entry = ledger.entries(lake.store)[-1]
    assert entry.hash == outcome.ledger_entry
    assert entry.statement.items == outcome.items
    assert ledger.expired_days(lake.store) == DAYS[:2]
    assert audit(lake, AS_OF, KEEP_FOUR).ok


def test_a_second_run_finds_nothing_and_adds_no_entry(lake):
    expire(lake, KEEP_FOUR)
    before = state(lake)
    assert expire(lake, KEEP_FOUR).ledger_entry is None
    assert state(lake) == before


def test_a_run_killed_at_any_change_ends_in_the_same_state_when_run_again(lake, restore):
    start = state(lake)
    expire(lake, KEEP_FOUR)
    expected = state(lake)
    for step in range(100):
        restore(start)
        try:
            expire(InterruptedStore.over(lake, step), KEEP_FOUR)
            break
        except Interrupted:
            expire(lake, KEEP_FOUR)
            assert state(lake) == expected, step
            assert audit(lake, AS_OF, KEEP_FOUR).ok
    assert 15 < step < 99


def test_what_the_system_will_not_read_is_no_damaged_file_and_nothing_is_stated_about_it(lake, landing, monkeypatch):
    """Else a file that another run could read would be deleted whole, or pass for one without rows."""
    parts = RetentionConfig(days=5, view_types={"search": 3}, max_share=0.9)
    before, key = state(lake), landing / f"dt={DAYS[2]}" / "part-0.parquet"

    def refused(path):
        if path == key:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path)

    opened = contents.open_blocks
    monkeypatch.setattr(contents, "open_blocks", refused)
    with pytest.raises(LakeError, match=rf"{key}: cannot be read \(Permission denied\); see its permissions"):
        expire(lake, parts)
    assert state(lake) == before
    monkeypatch.setattr(contents, "open_blocks", opened)
    expire(lake, parts)
    assert audit(lake, AS_OF, parts).ok


def test_an_object_that_its_store_does_not_give_is_not_one_without_rows(lake, monkeypatch):
    parts = RetentionConfig(days=5, view_types={"search": 3}, max_share=0.9)
    before = state(lake)

    def failing(key):
        raise LakeError(f"{key}: the store does not answer.")

    monkeypatch.setattr(lake.store, "local_path", failing)
    with pytest.raises(LakeError, match="the store does not answer"):
        expire(lake, parts)
    assert state(lake) == before


def test_the_horizon_never_moves_back(lake):
    expire(lake, KEEP_FOUR)
    longer = RetentionConfig(days=30)
    assert planned(lake, longer, AS_OF - timedelta(days=3)).horizon.day == DAYS[2]
    expire(lake, longer, AS_OF - timedelta(days=3))
    assert retention.horizon(lake.store) == DAYS[2]


def test_deleting_most_of_the_lake_needs_a_person_and_the_refusal_says_how(lake):
    as_of = AS_OF + timedelta(days=1)
    small = RetentionConfig(days=4, max_share=0.4)
    before = state(lake)
    with pytest.raises(
        LakeError, match=r"max_share=0\.4: this run would delete 3 of 6 partitions, 60 of 120 rows"
    ) as refusal:
        expire(lake, small, as_of)
    assert str(refusal.value).endswith(f"mmoe retention apply --as-of {as_of} --yes")
    assert state(lake) == before
    expire(lake, small, as_of, confirmed_by="ada")
    assert published_days(lake.store) == DAYS[3:]
    assert ledger.entries(lake.store)[-1].statement.actor == "ada"


def test_an_as_of_date_beyond_clock_and_data_is_refused(lake):
    """A machine whose clock jumped ahead asks for a date that neither a sane clock nor the data supports."""
    with pytest.raises(LakeError, match=r"as_of=2026-03-09: lies in the future of this machine's clock \(2026-03-07\)"):
        planned(lake, KEEP_FOUR, AS_OF + timedelta(days=2), today=AS_OF)
    assert planned(lake, KEEP_FOUR, AS_OF + timedelta(days=1), today=AS_OF)
    assert planned(lake, KEEP_FOUR, DAYS[-1] + timedelta(days=1), today=date(2020, 1, 1))  # a log from the future


def test_misdated_data_supports_no_as_of_date(lake, landing):
    """A folder, partition or staged day from the future; the log's own days count, though one of them is missing."""
    deliver(landing, raw_rows(DAYS[0]), day=date(2099, 1, 1))
    for key in ("engagement/dt=2099-01-01/part-0.parquet", "_staging/dt=2099-01-02/staged.json"):
        lake.store.write_bytes(key, b"x")
    for as_of in (date(2099, 1, 2), DAYS[-1] + timedelta(days=5)):
        with pytest.raises(
            LakeError, match=rf"as_of={as_of}: .* of the newest data \(2026-03-06, by days at most 3 apart"
        ):
            planned(lake, KEEP_FOUR, as_of, today=date(2020, 1, 1))
    deliver(landing, raw_rows(DAYS[-1]), day=DAYS[-1] + timedelta(days=2))
    assert planned(lake, KEEP_FOUR, DAYS[-1] + timedelta(days=3), today=date(2020, 1, 1))


def test_without_anything_published_a_lone_misdated_folder_supports_no_as_of_date_either(stores, landing):
    for day in (DAYS[0], date(2099, 1, 1)):
        deliver(landing, raw_rows(day), day=day)
    with pytest.raises(LakeError, match="as_of=2099-01-01: lies in the future"):
        planned(stores, KEEP_FOUR, date(2099, 1, 1), today=AS_OF)


def test_a_file_that_arrives_behind_the_horizon_is_found_and_removed(lake, landing):
    expire(lake, KEEP_FOUR)
    deliver(landing, raw_rows(DAYS[0]), day=DAYS[0])
    report = audit(lake, AS_OF)
    assert not report.ok
    assert [(item.kind, item.day) for item in report.readable] == [("landing", DAYS[0])]
    assert report.findings == [f"landing of {DAYS[0]} is still readable."]
    expire(lake, KEEP_FOUR)
    assert audit(lake, AS_OF).ok


def test_an_audit_with_the_policy_finds_what_no_run_has_deleted_yet(lake):
    expire(lake, KEEP_FOUR)
    report = audit(lake, AS_OF + timedelta(days=1), KEEP_FOUR)
    assert {(item.kind, item.day) for item in report.overdue} >= {("engagement", DAYS[2]), ("landing", DAYS[2])}
    assert not report.ok
    assert not report.readable


def test_a_held_day_is_kept_unreadable_and_reported_until_the_hold_ends(lake):
    held = add_hold(lake.store, CASE)
    outcome = expire(lake, KEEP_FOUR)
    assert [hold.id for hold in outcome.holds] == [held.id]
    assert copies_of(lake, DAYS[0])
    assert copies_of(lake, DAYS[1]) == []
    with pytest.raises(PartitionExpiredError):
        open_partition(lake.store, DAYS[0], SCHEMA)
    report = audit(lake, AS_OF)
    assert (report.ok, [hold.owner for hold in report.holds]) == (True, ["legal@example.com"])
    end_hold(lake.store, held.id, "bob")
    expire(lake, KEEP_FOUR)
    assert copies_of(lake, DAYS[0]) == []
    chain = ledger.entries(lake.store)
    assert [entry.statement.kind for entry in chain] == ["hold", "expired", "release", "expired"]
    assert [entry.statement.actor for entry in chain] == ["ada", None, "bob", None]
    assert b"case 17" not in lake.store.read_bytes(ledger.LEDGER_KEY)


def test_a_hold_stops_blocking_by_the_as_of_date_alone(lake):
    add_hold(lake.store, CASE.model_copy(update={"until": AS_OF - timedelta(days=1)}))
    plan = planned(lake, KEEP_FOUR)
    assert plan.holds == ()
    assert DAYS[0] in plan.expired_days


def test_a_damaged_manifest_does_not_keep_a_day(lake):
    lake.store.write_bytes(f"engagement/dt={DAYS[0]}/manifest.json", b"damaged")
    expire(lake, KEEP_FOUR)
    assert copies_of(lake, DAYS[0]) == []


def test_nothing_is_deleted_while_ledger_holds_horizon_or_tombstone_are_damaged(lake):
    add_hold(lake.store, CASE.model_copy(update={"first": date(2020, 1, 1), "last": date(2020, 1, 1)}))
    expire(lake, KEEP_FOUR)
    as_of = AS_OF + timedelta(days=1)
    lake.store.write_bytes(retention.TOMBSTONE_KEY, lake.store.read_bytes(ledger.HEAD_KEY))
    for key in (ledger.LEDGER_KEY, "_retention/holds.json", "_retention/horizon.json", retention.TOMBSTONE_KEY):
        whole = lake.store.read_bytes(key)
        lake.store.write_bytes(key, whole[: len(whole) // 2])
        before = state(lake)
        with pytest.raises(CorruptionError, match=key):
            expire(lake, KEEP_FOUR, as_of)
        assert state(lake) == before, key
        assert any(key in problem for problem in audit(lake, as_of).problems), key
        lake.store.write_bytes(key, whole)
    lake.store.delete([retention.TOMBSTONE_KEY])
    expire(lake, KEEP_FOUR, as_of)
    assert audit(lake, as_of, KEEP_FOUR).ok


def test_an_audit_finds_a_horizon_moved_back_and_a_ledger_rewritten_or_cut_off(lake):
    expire(lake, KEEP_FOUR)
    horizon = lake.store.read_bytes("_retention/horizon.json")
    lake.store.write_bytes("_retention/horizon.json", horizon.replace(b"2026-03-03", b"2026-03-02"))
    assert "The horizon is 2026-03-02, but the ledger states 2026-03-03" in audit(lake, AS_OF).problems[0]
    lake.store.write_bytes("_retention/horizon.json", horizon)
    lines = lake.store.read_bytes(ledger.LEDGER_KEY)
    lake.store.write_bytes(ledger.LEDGER_KEY, lines.replace(b'"rows": 20', b'"rows": 19'))
    assert "not what its hash says" in audit(lake, AS_OF).problems[0]
    lake.store.write_bytes(ledger.LEDGER_KEY, lines[:-40])
    assert "is no ledger entry" in audit(lake, AS_OF).problems[0]
    lake.store.write_bytes(ledger.LEDGER_KEY, b"")
    assert "It ends after 0 entries, but entry 0 had been written." in audit(lake, AS_OF).problems[0]


def test_a_holder_that_refuses_is_named_and_the_next_run_finishes(lake, monkeypatch):
    """Half of a batch delete fails: everything else still goes, no entry is written, and nothing is stated twice."""
    purge = type(lake.store).purge
    refused = []

    def half(self, copies):
        chosen = list(copies)
        purge(self, chosen[::2])
        refused.extend(chosen[1::2])
        if chosen[1::2]:
            raise LakeError("The store keeps what should go: " + ", ".join(copy.key for copy in chosen[1::2]))

    with monkeypatch.context() as patch:
        patch.setattr(type(lake.store), "purge", half)
        with pytest.raises(LakeError, match=r"keeps what should go.*run retention again"):
            expire(lake, KEEP_FOUR)
    assert refused
    assert ledger.entries(lake.store) == []
    assert copies_of(lake, *DAYS[:2])
    assert "A retention run was interrupted" in audit(lake, AS_OF).problems[0]
    outcome = expire(lake, KEEP_FOUR)
    assert copies_of(lake, *DAYS[:2]) == []
    assert [len(entry.statement.items) for entry in ledger.entries(lake.store)] == [12]
    assert {item.rows for item in outcome.items if item.kind == "engagement"} == {20}
    assert audit(lake, AS_OF, KEEP_FOUR).ok


def test_a_policy_that_does_not_fit_the_schema_is_refused(lake):
    for policy, message in (
        ({"view_types": {"homefeed": 2}}, r"retention\.view_types\.homefeed: schema 'handmade' has only home, search"),
        ({"labels": {"like": 2}}, r"retention\.labels\.like: schema 'handmade' has only click, long_click, save"),
        ({"labels": {"save": 1}}, r"retention\.labels\.save=1: labels are final only after 1 days"),
    ):
        with pytest.raises(ConfigError, match=message):
            planned(lake, RetentionConfig.model_validate({"days": 4, **policy}))


def test_the_ledger_holds_counts_and_digests_only(lake):
    expire(lake, KEEP_FOUR)
    text = lake.store.read_bytes(ledger.LEDGER_KEY).decode()
    for row in raw_rows(DAYS[0], rows=20).to_pylist():
        assert row["event_id"] not in text
        assert str(row["user_id"]) not in text
