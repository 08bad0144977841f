from datetime import date, timedelta

import pytest

from mmoe.evaluate.verdict import Finding, GateResult, Lift
from mmoe.report.data import Model, UsedDay
from mmoe.report.story import calendar, days_in_words, named_days, remedy, rule_groups, two_digits

FIRST = date(2026, 9, 1)


def rule(name, verdict, head="click", view_type=None):
    return Finding(
        rule=name,
        head=head,
        slice_by=view_type and "view_type",
        slice=view_type,
        verdict=verdict,
        reason=f"{name} {head} {view_type}",
    )


def lift(view_type, value):
    return Lift(
        head="click", slice_by=view_type and "view_type", slice=view_type,
        champion_auc=0.7, challenger_auc=0.7, lift=value, low=value, high=value,
        rows=1000, positives=90,
    )  # fmt: skip


def gate(findings, lifts=(), rows_needed=None):
    return GateResult(
        verdict="inconclusive", profile="lift", confidence=0.95, min_lift=0.001, slice_margin=-0.001, days=(),
        rows=2000, rows_needed=rows_needed,
        champion_digest="c", challenger_digest="d", findings=tuple(findings), lifts=tuple(lifts),
        calibration=(),
    )  # fmt: skip


def span(count):
    return [FIRST + timedelta(days=number) for number in range(count)]


def model(*days):
    return Model(
        version="1", digest="d", stage="batch", experts=("mlp",), parameters=1, days=days, metrics=(), calibration={}
    )


def test_objections_come_first_and_are_spelled_out_while_what_holds_is_counted():
    slices = [rule("slice", "pass", view_type=name) for name in "abcd"] + [rule("slice", "fail", view_type="e")]
    first, second = rule_groups(gate([rule("head", "pass"), *slices]))
    assert (first.name, first.verdict, first.passed, first.total) == ("Primary, by slice", "fail", 4, 5)
    assert [found.slice for found in first.shown] == ["e"]
    assert [found.reason for found in second.shown] == ["head click None"]


def test_rules_that_hold_for_want_of_labels_are_counted_apart():
    found = [rule("guardrail", "pass", view_type=name) for name in "ab"]
    (group,) = rule_groups(gate(found, [lift("a", 0.01), lift("b", None)]))
    assert (group.passed, group.unjudged) == (2, 1)


def test_the_remedy_is_the_rows_that_the_gate_asks_for():
    text = remedy(gate([rule("slice", "inconclusive", view_type="a")], rows_needed=43_021))
    assert text == "About 43,000 held-out rows, 22 times as many, probably would."


def test_without_figures_the_remedy_points_at_the_rules():
    assert remedy(gate([rule("data warnings", "inconclusive")])) == "See the open rules for what is missing."


@pytest.mark.parametrize(("rows", "shown"), [(7, 7), (84, 84), (1234, 1200), (2_774_812, 2_800_000)])
def test_numbers_of_rows_are_given_to_two_digits(rows, shown):
    assert two_digits(rows) == shown


def test_a_short_calendar_names_mondays_and_a_long_one_months():
    assert {day.day for day in named_days(span(28))} == {1, 7, 14, 21, 28}
    assert named_days(span(100)) == {date(2026, month, 1) for month in (9, 10, 11, 12)}


def test_days_that_a_model_did_not_use_are_in_the_calendar_without_a_use():
    used = UsedDay(day=FIRST, use="trained", rows=5, expired=False)
    cells = calendar(model(used), span(3))
    assert [cell.used for cell in cells] == [used, None, None]
    assert [cell.label for cell in cells] == ["Sep 1", "2", "3"]


def test_days_in_words_count_the_expired():
    days = [UsedDay(day=day, use="trained", rows=None, expired=day < FIRST + timedelta(2)) for day in span(3)]
    held = UsedDay(day=FIRST + timedelta(5), use="held out", rows=9, expired=False)
    assert days_in_words(model(*days, held)) == (
        "trained 2026-09-01 to 2026-09-03 (3 days, 2 expired) · held out 2026-09-06 (1 day)"
    )
