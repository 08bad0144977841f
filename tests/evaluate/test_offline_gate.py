from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from mmoe.config import GateConfig, ProfileConfig
from mmoe.data.scores import ScoreSet
from mmoe.errors import EvaluationError
from mmoe.evaluate.metrics import probabilities
from mmoe.evaluate.offline_gate import evaluate_gate
from mmoe.evaluate.verdict import GateResult

DAY = date(2026, 9, 22)
HEADS, PRIMARY, VIEWS = ("click", "hide"), ("click",), ("home_feed", "search")
LIFT = ProfileConfig(min_lift=0.001, slice_margin=-0.001, prove_slices=True, max_calibration_shift=0.1)
CONFIG = GateConfig(
    profiles={"lift": LIFT, "refresh": LIFT.model_copy(update={"min_lift": -0.001, "prove_slices": False})}
)


def score_sets(rows=20_000, *, before=1.0, after=0.3, seed=0, users=4000):
    """Champion and challenger that see the truth through noise of the given size."""
    rng = np.random.default_rng(seed)
    truth = {head: rng.normal(-1.5, 1.3, rows) for head in HEADS}
    labels = {head: (rng.random(rows) < probabilities(logit)).astype(np.float32) for head, logit in truth.items()}
    champion = ScoreSet(
        days=(DAY,), model_digest="a" * 64, heads=HEADS, view_type_names=VIEWS,
        example_id=np.arange(rows).astype(str).astype(object), group=rng.integers(0, users, rows),
        view_type=rng.integers(0, 2, rows), labels=labels,
        logits={head: (logit + rng.normal(0, before, rows)).astype(np.float32) for head, logit in truth.items()},
    )  # fmt: skip
    logits = {head: (logit + rng.normal(0, after, rows)).astype(np.float32) for head, logit in truth.items()}
    return champion, replace(champion, model_digest="b" * 64, logits=logits)


def judge(champion, challenger, profile="lift", **changes):
    arguments = {
        "profile_name": profile, "config": CONFIG, "heads": HEADS, "primary": PRIMARY, "view_types": VIEWS,
        "trained_days": set(),
    }  # fmt: skip
    return evaluate_gate(champion, challenger, **(arguments | changes))


def reasons(result, verdict):
    return [
        (finding.rule, finding.head, finding.view_type) for finding in result.findings if finding.verdict == verdict
    ]


def test_a_clearly_better_model_passes():
    result = judge(*score_sets())
    assert result.verdict == "pass", reasons(result, "fail")
    assert result.lift().low > 0.001
    assert result.lift("click", "search").rows + result.lift("click", "home_feed").rows == 20_000


def test_a_clearly_worse_model_fails_and_says_where():
    result = judge(*score_sets(before=0.3, after=1.5))
    assert result.verdict == "fail"
    assert ("lift", "click", None) in reasons(result, "fail")
    assert ("guardrail", "hide", None) in reasons(result, "fail")


def test_equal_models_are_inconclusive_with_the_rows_that_would_tell():
    result = judge(*score_sets(before=0.5, after=0.5))
    assert result.verdict == "inconclusive"
    assert "rows would tell" in next(finding.reason for finding in result.findings if finding.rule == "lift")
    assert result.lift("click").rows_needed > 20_000


def test_equal_models_hardly_ever_pass_the_lift_profile():
    passed = sum(judge(*score_sets(4000, before=0.5, after=0.5, seed=seed)).verdict == "pass" for seed in range(100))
    assert passed <= 3


def test_a_slice_made_worse_is_caught_although_the_whole_is_better():
    champion, challenger = score_sets(40_000)
    spoilt = challenger.logits["click"].copy()
    search = champion.view_type == 1
    spoilt[search] = np.random.default_rng(9).normal(0, 1, search.sum())
    result = judge(champion, replace(challenger, logits=challenger.logits | {"click": spoilt}))
    assert ("slice", "click", "search") in reasons(result, "fail")
    assert result.verdict == "fail"


def test_a_day_that_was_trained_on_fails_closed():
    result = judge(*score_sets(), trained_days={DAY})
    assert result.verdict == "fail"
    assert ("held-out days unseen", None, None) in reasons(result, "fail")


def test_a_view_type_without_rows_is_never_a_pass():
    result = judge(*score_sets(), view_types=(*VIEWS, "related_pins"))
    assert result.verdict == "inconclusive"
    assert ("view type present", None, "related_pins") in reasons(result, "inconclusive")


def test_a_head_that_a_model_lacks_fails_closed():
    champion, challenger = score_sets()
    lacking = replace(challenger, heads=("hide",), logits={"hide": challenger.logits["hide"]})
    assert ("head present", "click", None) in reasons(judge(champion, lacking), "fail")


def test_a_guardrail_head_without_final_labels_is_reported_and_does_not_block():
    champion, challenger = score_sets()
    labels = champion.labels | {"hide": np.full(champion.rows, np.nan, dtype=np.float32)}
    result = judge(replace(champion, labels=labels), replace(challenger, labels=labels))
    assert result.verdict == "pass"
    assert result.lift("hide").lift is None


def test_a_primary_head_without_final_labels_fails_closed():
    champion, challenger = score_sets()
    labels = champion.labels | {"click": np.full(champion.rows, np.nan, dtype=np.float32)}
    assert judge(replace(champion, labels=labels), replace(challenger, labels=labels)).verdict == "fail"


def test_a_miscalibrated_challenger_fails_whatever_its_auc():
    champion, challenger = score_sets()
    shifted = {head: logit + 1 for head, logit in challenger.logits.items()}
    result = judge(champion, replace(challenger, logits=shifted))
    assert ("calibration", "click", None) in reasons(result, "fail")


def test_refresh_passes_a_model_that_is_not_shown_to_be_worse():
    assert judge(*score_sets(before=0.5, after=0.5), profile="refresh").verdict == "pass"
    assert judge(*score_sets(before=0.3, after=1.5), profile="refresh").verdict == "fail"


def test_score_sets_of_different_rows_are_refused():
    champion, challenger = score_sets()
    other = replace(challenger, example_id=challenger.example_id[::-1])
    with pytest.raises(EvaluationError, match="different rows"):
        judge(champion, other)


def test_score_sets_of_different_labels_are_refused():
    champion, challenger = score_sets()
    labels = challenger.labels | {"click": 1 - challenger.labels["click"]}
    with pytest.raises(EvaluationError, match="head 'click': the score sets hold different labels"):
        judge(champion, replace(challenger, labels=labels))


def test_an_unknown_profile_is_refused_with_the_known_ones():
    with pytest.raises(EvaluationError, match=r"profile='x': not in gate.profiles \(lift, refresh\)"):
        judge(*score_sets(1000), profile="x")


def test_a_result_survives_json():
    result = judge(*score_sets())
    assert GateResult.model_validate_json(result.model_dump_json()) == result
