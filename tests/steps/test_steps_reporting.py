"""mmoe.steps.reporting: whose knowledge a distilled model takes over."""

from dataclasses import replace
from datetime import date

from test_planning import BATCH, DAILY, FIRST

from mmoe.steps.reporting import lineage

TAUGHT = replace(BATCH, teacher=FIRST.digest)


def test_a_teachers_lineage_is_what_it_started_from_and_who_taught_it() -> None:
    found = lineage([FIRST, TAUGHT, DAILY], "3", None)
    assert [(each.version, each.relation) for each in found] == [
        ("3", "teacher"), ("2", "version 3 started from it"), ("1", "teacher of version 2"),
    ]  # fmt: skip


def test_days_behind_the_horizon_are_marked() -> None:
    days = replace(TAUGHT, first_day=date(2026, 9, 9))
    found = lineage([FIRST, days], "2", date(2026, 9, 10))
    assert [(each.version, each.expired) for each in found] == [("2", "some"), ("1", "all")]
    assert [each.expired for each in lineage([FIRST, days], "2", date(2026, 9, 1))] == ["none", "none"]


def test_each_ancestor_is_named_once_and_a_lost_one_left_out() -> None:
    both = replace(DAILY, teacher=TAUGHT.digest)
    assert [each.version for each in lineage([TAUGHT, both], "3", None)] == ["3", "2"]
