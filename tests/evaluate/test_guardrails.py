from datetime import date, timedelta

import numpy as np
import pytest
from scoresets import DAY, score_set

from mmoe.evaluate.guardrails import Cost, Facts, judge_facts
from mmoe.evaluate.offline_gate import evaluate_gate
from mmoe.evaluate.ranking import probabilities
from mmoe.gate_config import PROFILES, GateConfig


def verdicts(result, rule):
    return {(each.head, each.slice): each.verdict for each in result.findings if each.rule == rule}


def judge(logits, labels, challenger=None, **changes):
    profile = PROFILES["parity"].model_copy(update=changes)
    slices = {"view_type": np.where(np.arange(len(labels)) % 2, "a", "b")}
    sides = [
        score_set({"click": scores}, {"click": labels}, slices=slices)
        for scores in (logits, logits if challenger is None else challenger)
    ]
    config = GateConfig(profiles={"parity": profile})
    return evaluate_gate(*sides, profile_name="parity", config=config, heads=["click"], primary=["click"])


@pytest.fixture(scope="module")
def calibrated():
    rng = np.random.default_rng(3)
    logits = rng.normal(-1.5, 1.2, 20_000).astype(np.float32)
    return logits, (rng.random(20_000) < probabilities(logits)).astype(np.float32)


def test_a_miscalibrated_challenger_fails_whatever_its_auc(calibrated):
    logits, labels = calibrated
    assert set(verdicts(judge(logits, labels), "calibration").values()) == {"pass"}
    shifted = judge(logits, labels, logits + 1)
    assert verdicts(shifted, "calibration") == dict.fromkeys([("click", None), ("click", "a"), ("click", "b")], "fail")
    assert shifted.verdict == "fail"


def test_calibration_that_only_one_slice_loses_is_found_there(calibrated):
    logits, labels = calibrated
    one = logits + np.where(np.arange(len(labels)) % 2, 0.3, -0.3).astype(np.float32)
    found = verdicts(judge(logits, labels, one), "calibration")
    assert found["click", None] == "pass" and found["click", "a"] == "fail"


def test_a_slice_with_few_positives_is_not_failed_by_chance(calibrated):
    logits, labels = calibrated
    rare = np.random.default_rng(4).random(len(labels)) < 0.03
    slices = {"view_type": np.where(rare, "rare", "common")}
    off = logits + np.where(rare, -0.2, 0).astype(np.float32)
    sides = [score_set({"click": each}, {"click": labels}, slices=slices) for each in (logits, off)]
    config = GateConfig(profiles={"parity": PROFILES["parity"]})
    result = evaluate_gate(*sides, profile_name="parity", config=config, heads=["click"], primary=["click"])
    (found,) = [each for each in result.findings if each.rule == "calibration" and each.slice == "rare"]
    assert found.verdict == "pass" and "not shown to be more than 10%" in found.reason


def test_scores_that_move_without_ranking_differently_are_found(calibrated):
    logits, labels = calibrated
    result = judge(logits, labels, 2 * logits)
    assert result.lift("click").lift == 0
    assert verdicts(result, "score shift") == {("click", None): "fail"}
    assert verdicts(judge(logits, labels), "score shift") == {("click", None): "pass"}


def test_a_challenger_that_corrects_a_champion_which_promises_too_much_has_not_shifted(calibrated):
    logits, labels = calibrated
    too_much = logits + np.float32(0.8)
    result = judge(too_much, labels, logits)
    assert verdicts(result, "score shift") == {("click", None): "pass"}
    assert verdicts(judge(logits, labels, too_much), "score shift") == {("click", None): "fail"}
    assert verdicts(judge(too_much, labels), "score shift") == {("click", None): "pass"}


@pytest.mark.parametrize(
    ("floor", "bound", "verdict"),
    [
        ("min_auc", 0.5, "pass"), ("min_auc", 0.95, "fail"),
        ("max_normalised_entropy", 1.0, "pass"), ("max_normalised_entropy", 0.5, "fail"),
        ("max_calibration_error", 0.05, "pass"), ("max_calibration_error", 0.0001, "fail"),
    ],
)  # fmt: skip
def test_floors_hold_whatever_the_champion_reaches(calibrated, floor, bound, verdict):
    assert verdicts(judge(*calibrated, **{floor: bound}), "floor") == {("click", None): verdict}


def facts(**changes):
    content = {
        "champion_now": "1", "champion_planned": "1", "trained_days": (),
        "champion_cost": Cost(latency_ms=10, size_bytes=1_000_000),
        "challenger_cost": Cost(latency_ms=12, size_bytes=1_500_000),
        "used_days": [DAY - timedelta(number) for number in range(4)], "warned_days": [DAY],
        "learned_through": DAY - timedelta(1),
    }  # fmt: skip
    return Facts(**(content | changes))


def judged(rule, given, **profile):
    found = judge_facts(PROFILES["parity"].model_copy(update=profile), [DAY], given)
    return [each.verdict for each in found if each.rule == rule]


@pytest.mark.parametrize(
    ("rule", "bound", "within", "beyond"),
    [
        ("latency budget", "max_latency_ratio", 1.3, 1.1), ("latency budget", "max_latency_ms", 13.0, 11.0),
        ("size budget", "max_size_ratio", 1.6, 1.4), ("size budget", "max_size_mb", 1.6, 1.4),
        ("model age", "max_model_age_days", 1, 0),
    ],
)  # fmt: skip
def test_budgets_and_age_bind_where_the_profile_sets_them(rule, bound, within, beyond):
    assert judged(rule, facts()) == []
    assert judged(rule, facts(), **{bound: within}) == ["pass"]
    assert judged(rule, facts(), **{bound: beyond}) == ["fail"]


def test_what_was_not_measured_fails_closed():
    unknown = facts(challenger_cost=None, learned_through=None)
    assert judged("latency budget", unknown, max_latency_ratio=2.0) == ["fail"]
    assert judged("size budget", unknown, max_size_ratio=2.0) == ["fail"]
    assert judged("model age", unknown, max_model_age_days=9) == ["fail"]


def test_too_many_warned_days_ask_for_a_person():
    assert judged("data warnings", facts(), max_warned_share=0.25) == ["pass"]
    assert judged("data warnings", facts(), max_warned_share=0.2) == ["inconclusive"]
    assert judged("data warnings", facts(used_days=()), max_warned_share=0.2) == ["inconclusive"]
    assert judged("data warnings", facts(warned_days=[date(2020, 1, 1)]), max_warned_share=0.0) == ["pass"]
