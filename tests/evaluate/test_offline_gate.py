from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scoresets import DAY, score_set

from mmoe.errors import EvaluationError
from mmoe.evaluate.guardrails import Facts
from mmoe.evaluate.offline_gate import evaluate_gate
from mmoe.evaluate.ranking import probabilities
from mmoe.evaluate.statistics import auc_estimate, interval, relative_lift
from mmoe.evaluate.verdict import GateResult
from mmoe.gate_config import PROFILES, GateConfig

HEADS, PRIMARY, VIEWS = ("click", "hide"), ("click",), ("home_feed", "search")
CONFIG = GateConfig(profiles=PROFILES)
CURRENT = {"champion_now": "1", "champion_planned": "1", "trained_days": ()}


def score_sets(rows=20_000, *, before=1.0, after=0.3, seed=0, users=4000):
    """Champion and challenger that see the truth through noise of the given size."""
    rng = np.random.default_rng(seed)
    truth = {head: rng.normal(-1.5, 1.3, rows) for head in HEADS}
    labels = {head: (rng.random(rows) < probabilities(logit)).astype(np.float32) for head, logit in truth.items()}
    slices = {"view_type": np.array(VIEWS)[rng.integers(0, 2, rows)], "hour": rng.integers(0, 3, rows)}
    group = rng.integers(0, users, rows)
    sides = [{head: logit + rng.normal(0, noise, rows) for head, logit in truth.items()} for noise in (before, after)]
    champion = score_set(sides[0], labels, slices=slices, group=group)
    return champion, score_set(sides[1], labels, slices=slices, group=group, digest="b")


def judge(champion, challenger, profile="lift", **changes):
    arguments = {
        "profile_name": profile, "config": CONFIG, "heads": HEADS, "primary": PRIMARY,
        "expected": {"view_type": VIEWS},
    }  # fmt: skip
    return evaluate_gate(champion, challenger, **(arguments | changes))


def places(result, verdict):
    return [(finding.rule, finding.head, finding.slice) for finding in result.findings if finding.verdict == verdict]


def spoilt(challenger, head="click", slice_by="view_type", name="search"):
    """The challenger with noise for scores on one slice."""
    slicing, scores = challenger.slices[slice_by], challenger.logits[head].copy()
    mine = slicing.codes == slicing.names.index(name)
    scores[mine] = np.random.default_rng(9).normal(0, 1, mine.sum())
    return replace(challenger, logits=challenger.logits | {head: scores})


def test_a_clearly_better_model_passes():
    result = judge(*score_sets())
    assert result.verdict == "pass", places(result, "fail")
    assert result.lift().low > 0.001
    assert result.lift("click", "search").rows + result.lift("click", "home_feed").rows == 20_000
    assert result.rows_needed is None and result.rows_planned > 0


def test_lift_and_interval_of_a_slice_are_those_of_its_rows_alone():
    """With ties, weights and labels that are not final; the two models rank the rows differently."""
    champion, challenger = score_sets(6000)
    weights = {"click": np.random.default_rng(3).exponential(1, 6000).astype(np.float32) + 0.1}
    labels = champion.labels | {"click": np.where(np.arange(6000) % 5, champion.labels["click"], np.nan)}
    champion, challenger = (
        replace(each, weights=weights, labels=labels, logits={head: np.round(x, 1) for head, x in each.logits.items()})
        for each in (champion, challenger)
    )
    lift = judge(champion, challenger).lift("click", "search")
    mine = champion.slices["view_type"].codes == champion.slices["view_type"].names.index("search")
    sides = (each.logits["click"][mine] for each in (champion, challenger))
    alone = relative_lift(*(auc_estimate(labels["click"][mine], each, weights["click"][mine]) for each in sides))
    expected = interval(alone, 0.95, champion.group[mine])
    found = (lift.lift, lift.low, lift.high, lift.standard_error)
    assert found == pytest.approx((expected.value, expected.low, expected.high, expected.standard_error), rel=1e-9)


def test_a_clearly_worse_model_fails_and_says_where():
    result = judge(*score_sets(before=0.3, after=1.5))
    assert result.verdict == "fail"
    assert {("lift", None, None), ("head", "click", None), ("guardrail", "hide", None)} <= set(places(result, "fail"))


def test_equal_models_are_inconclusive_and_ask_for_more_rows_than_there_are():
    result = judge(*score_sets(before=0.5, after=0.5))
    assert result.verdict == "inconclusive"
    assert result.rows_needed == result.rows_planned > 20_000


@pytest.mark.parametrize("profile", ["lift", "parity", "refresh"])
def test_a_slice_made_worse_is_caught_although_the_whole_is_better(profile):
    champion, challenger = score_sets(40_000)
    result = judge(champion, spoilt(challenger), profile)
    assert ("slice", "click", "search") in places(result, "fail")
    assert result.verdict == "fail"


def test_a_watched_slice_refuses_what_is_worse_there_and_asks_for_no_proof():
    champion, challenger = score_sets(40_000)
    worse = judge(champion, spoilt(challenger, slice_by="hour", name="1"), watched=["hour"])
    assert ("slice", "click", "1") in places(worse, "fail") and worse.verdict == "fail"
    few = judge(*score_sets(before=0.5, after=0.5), watched=["hour"])
    assert not [place for place in places(few, "inconclusive") if place[2] in {"0", "1", "2"}]
    assert judge(champion, challenger, watched=["new_user"]).verdict == "fail"


def test_every_declared_slice_column_is_judged_and_no_other():
    champion, challenger = score_sets(40_000)
    worse = spoilt(challenger, slice_by="hour", name="2")
    assert not any(finding.slice_by == "hour" for finding in judge(champion, worse).findings)
    result = judge(champion, worse, config=CONFIG.model_copy(update={"slices": ("view_type", "hour")}))
    assert ("slice", "click", "2") in places(result, "fail")


def test_a_day_that_was_trained_on_fails_closed():
    result = judge(*score_sets(), facts=Facts(**(CURRENT | {"trained_days": {DAY}})))
    assert result.verdict == "fail"
    assert ("held-out days unseen", None, None) in places(result, "fail")


def test_score_sets_that_say_what_was_learned_need_no_one_to_tell():
    champion, challenger = score_sets()
    learned = judge(champion, replace(challenger, learned_days=(DAY,)))
    assert ("held-out days unseen", None, None) in places(learned, "fail")
    honest = judge(champion, replace(challenger, learned_days=()))
    assert ("held-out days unseen", None, None) in places(honest, "pass")
    assert "held-out days unseen" in judge(champion, challenger).unjudged


@pytest.mark.parametrize("now", ["2", None])
def test_a_baseline_that_is_no_longer_the_champion_fails_closed(now):
    facts = Facts(**(CURRENT | {"champion_now": now}))
    assert ("baseline current", None, None) in places(judge(*score_sets(2000), facts=facts), "fail")


def test_a_view_type_without_rows_fails_closed():
    result = judge(*score_sets(), expected={"view_type": (*VIEWS, "related_pins")})
    assert result.verdict == "fail"
    assert ("slice present", None, "related_pins") in places(result, "fail")


def test_a_slice_column_that_a_score_set_lacks_fails_closed():
    result = judge(*score_sets(), config=CONFIG.model_copy(update={"slices": ("new_user",)}), expected={})
    assert places(result, "fail") == [("slice present", None, "any")]


def test_a_slice_that_only_the_champion_scored_fails_closed():
    champion, challenger = score_sets()
    kept = np.flatnonzero(challenger.slices["view_type"].codes == 0)
    result = judge(champion, challenger.take(kept))
    assert {("rows paired", None, None), ("slice present", None, "search")} <= set(places(result, "fail"))
    assert result.rows == len(kept)


def test_a_head_that_a_model_lacks_fails_closed():
    champion, challenger = score_sets()
    lacking = replace(challenger, heads=("hide",), logits={"hide": challenger.logits["hide"]})
    assert ("head present", "click", None) in places(judge(champion, lacking), "fail")


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


def test_a_slice_with_hardly_any_positives_is_no_proof():
    champion, challenger = score_sets()
    labels = champion.labels["click"].copy()
    mine = np.flatnonzero((champion.slices["view_type"].codes == 1) & (labels == 1))
    labels[mine[10:]] = 0
    sides = [replace(side, labels=side.labels | {"click": labels}) for side in (champion, challenger)]
    result = judge(*sides)
    assert places(result, "inconclusive") == [("slice too small", "click", "search")]
    assert result.rows_needed >= 40_000


def test_refresh_passes_a_model_that_is_not_shown_to_be_worse_and_cannot_be_much_worse():
    assert judge(*score_sets(80_000, before=0.2, after=0.2), "refresh").verdict == "pass"
    assert judge(*score_sets(before=0.3, after=1.5), "refresh").verdict == "fail"
    assert judge(*score_sets(1000, before=0.5, after=0.5), "refresh").verdict == "inconclusive"


def test_rows_are_paired_by_example_and_not_by_order():
    champion, challenger = score_sets()
    shuffled = challenger.take(np.random.default_rng(1).permutation(challenger.rows))
    assert judge(champion, shuffled).lifts == judge(champion, challenger).lifts


def test_score_sets_without_a_row_in_common_are_refused():
    champion, challenger = score_sets(100)
    other = replace(challenger, example_id=pa.array([f"other {row}" for row in range(100)]))
    with pytest.raises(EvaluationError, match="different rows"):
        judge(champion, other)


def test_score_sets_of_different_labels_or_slices_are_refused():
    champion, challenger = score_sets()
    labels = challenger.labels | {"click": 1 - challenger.labels["click"]}
    with pytest.raises(EvaluationError, match="head 'click': the score sets hold different labels"):
        judge(champion, replace(challenger, labels=labels))
    other = replace(challenger.slices["hour"], names=("2", "1", "0"))
    with pytest.raises(EvaluationError, match="slice column 'hour': the score sets hold different values"):
        judge(champion, replace(challenger, slices=challenger.slices | {"hour": other}))


def test_weights_decide_what_counts():
    champion, challenger = score_sets()
    search = champion.slices["view_type"].codes == 1
    sides = [replace(side, weights={"click": np.where(search, 1e-6, 1.0)}) for side in (champion, spoilt(challenger))]
    heavy = judge(*sides).lift("click")
    assert heavy.lift == pytest.approx(judge(champion, challenger).lift("click", "home_feed").lift, abs=1e-4)


def test_an_unknown_profile_is_refused_with_the_known_ones():
    with pytest.raises(EvaluationError, match=r"profile='x': not in gate.profiles \(lift, parity, refresh\)"):
        judge(*score_sets(1000), profile="x")


def test_a_result_survives_json_with_its_metrics():
    result = judge(*score_sets(2000), with_metrics=True)
    assert len(result.metrics["challenger"]) == 2 * 3
    assert GateResult.model_validate_json(result.model_dump_json()) == result


def test_score_sets_alone_leave_what_they_cannot_say_unjudged():
    profile = PROFILES["lift"].model_copy(update={"max_latency_ratio": 2.0, "max_model_age_days": 3})
    config = CONFIG.model_copy(update={"profiles": {"lift": profile}})
    unjudged = judge(*score_sets(2000), config=config).unjudged
    assert unjudged == ("held-out days unseen", "baseline current", "latency budget", "model age")
