import re
from datetime import UTC, date, datetime

import pytest
from sample_report import HOSTILE, sample_report

from mmoe.report.data import (
    Ancestor,
    Curve,
    Decision,
    Report,
    UsedDay,
)
from mmoe.report.render import render, typeset


@pytest.fixture
def report():
    return sample_report()


def test_the_verdict_comes_before_everything_else(report):
    body = render(report).split("<body>")[1]
    text = re.sub(r"<[^>]+>", " ", body)
    assert text.index("inconclusive") < text.index("Why this verdict") < text.index("Relative AUC lift")


def test_what_a_name_holds_is_never_markup(report):
    html = render(report)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_page_asks_for_nothing_from_outside(report):
    assert re.findall(r'(?:src|href)=(?!"#)|url\(|@import|https?://', render(report)) == []


def test_undecided_rules_are_shown_before_those_that_hold(report):
    html = render(report)
    assert html.index("too few") < html.index("fine")


def test_expired_days_warnings_and_teacher_are_shown(report):
    html = render(report)
    assert 'title="2026-09-01: trained, expired"' in html
    assert "trained 2026-09-01 (1 day, 1 expired)" in html
    assert "2026-09-09: volume: low" in html
    assert "pairwise_logistic" in html


def test_warnings_of_days_that_only_the_baseline_learned_are_shown_too(report):
    early = UsedDay(day=date(2026, 8, 30), use="trained", rows=9, expired=False, warnings=("released by ada",))
    baseline = report.champion.model_copy(update={"days": (early, *report.champion.days)})
    shown = report.model_copy(update={"champion": baseline})
    assert shown.warnings == [(date(2026, 8, 30), "released by ada"), (date(2026, 9, 9), "volume: low")]
    assert "2026-08-30: released by ada" in render(shown)


def test_a_baseline_that_is_not_the_champion_is_explained(report):
    assert "its newest ancestor that has not" in render(report)
    assert "its newest ancestor that has not" not in render(report.model_copy(update={"champion_version": "1"}))


def test_every_drawing_has_a_text_for_screen_readers_or_stands_beside_one(report):
    drawings = re.findall(r"<svg[^>]*>", without_nested(render(report)))
    assert len(drawings) >= 8
    assert all('role="img" aria-label="' in each or 'aria-hidden="true"' in each for each in drawings)


def without_nested(html):
    return re.sub(r'<svg x="[^>]*>', "", html)


@pytest.mark.parametrize("verdict", ["pass", "fail", "inconclusive"])
def test_the_colour_of_a_verdict_is_never_its_only_sign(report, verdict):
    html = render(report.model_copy(update={"verdict": verdict}))
    assert f'<header class="verdict {verdict}">' in html
    assert f'<span class="hidden">{verdict}</span></span>{verdict}</p>' in html


def test_a_report_of_the_least_there_can_be_renders(report):
    bare = report.model_copy(update={
        "curves": (), "gate_use": {}, "distillation": None,
        "gate": report.gate.model_copy(update={"lifts": (), "findings": (), "calibration": ()}),
        "challenger": report.challenger.model_copy(update={"calibration": {}, "metrics": ()}),
    })  # fmt: skip
    assert "no overall lift could be measured" in render(bare)


def test_minus_signs_are_typeset_and_dates_are_left_alone():
    assert typeset("-0.10% [-0.2%, +0.1%] on 2026-09-24 by pre-2") == "−0.10% [−0.2%, +0.1%] on 2026-09-24 by pre-2"  # noqa: RUF001


def test_a_report_survives_json(report):
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_the_teachers_lineage_marks_what_has_expired(report):
    ancestor = Ancestor(
        version="1", relation="teacher", stage="bootstrap", first_day=date(2026, 9, 1),
        trained_through=date(2026, 9, 10), days=10, expired="some",
    )  # fmt: skip
    taught = report.distillation.model_copy(update={"lineage": (ancestor,)})
    text = words(render(report.model_copy(update={"distillation": taught})))
    assert "1 teacher bootstrap 2026-09-01 to 2026-09-10 (10) some, behind 2026-09-09" in text
    assert "Whose knowledge" not in words(render(report))


def test_auc_curves_stand_beside_the_loss_curves(report):
    curve = Curve(name="auc/click", points=tuple((100.0 * step, 0.5 + 0.01 * step) for step in range(1, 9)))
    html = render(report.model_copy(update={"curves": (*report.curves, curve)}))
    assert 'aria-label="AUC of click over the rows learned"' in html
    assert "AUC along the way" in html
    assert "AUC along the way" not in render(report)


def test_serving_cost_stands_beside_the_baselines(report):
    text = words(render(report))
    assert "150% of its latency" in text
    assert "version 2 6.00 ms version 1 4.00 ms" in text
    assert "version 2 5.50 MB version 1 5.00 MB" in text


def test_a_decision_is_told_and_how_to_undo_it(report):
    at = datetime(2026, 9, 25, 9, 30, tzinfo=UTC)
    decision = Decision(actor="ann", reason=HOSTILE, replaces="3", at=at)
    decided = render(report.model_copy(update={"decision": decision}))
    assert "Promoted against the verdict by ann at 2026-09-25 09:30 UTC in place of version 3" in words(decided)
    assert HOSTILE not in decided
    assert "mmoe rollback --to 3 --expected-champion 2" in words(render(report))


def words(html):
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S))
