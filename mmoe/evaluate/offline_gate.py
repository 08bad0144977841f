"""The release gate: challenger against champion on the same held-out rows, by rules that params.yaml declares.

What cannot be evaluated fails closed: a head, slice or row that one side lacks, a baseline that is no longer the
champion's, a held-out day that a model has learned.
"""

from collections.abc import Collection, Mapping, Sequence

from mmoe.data.score_set import ScoreSet
from mmoe.errors import EvaluationError
from mmoe.evaluate.alignment import Pair, pair_scores
from mmoe.evaluate.comparison import Comparison, HeadResult, compare_heads, primary_mean
from mmoe.evaluate.guardrails import (
    Facts,
    judge_calibrations,
    judge_facts,
    judge_floors,
    judge_score_shift,
    unseen_days,
)
from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.power import rows_planned, rows_to_settle
from mmoe.evaluate.rules import judge_lifts
from mmoe.evaluate.verdict import Finding, GateResult, Lift, Side, overall
from mmoe.gate_config import GateConfig, ProfileConfig


def evaluate_gate(
    champion: ScoreSet,
    challenger: ScoreSet,
    *,
    profile_name: str,
    config: GateConfig,
    heads: Sequence[str],
    primary: Sequence[str],
    expected: Mapping[str, Collection[str]] | None = None,
    watched: Sequence[str] = (),
    facts: Facts | None = None,
    with_metrics: bool = False,
) -> GateResult:
    """Judge the challenger on the slices of config.slices.

    watched: further slice columns, on which it must only not be shown to be worse. expected: slice column -> values
    that must occur. facts: what score sets cannot say; None judges by score sets alone, and lists what could not be
    judged. Raises EvaluationError when the score sets share no rows or contradict each other, or the profile does not
    exist.
    """
    profile = chosen_profile(config, profile_name)
    pair = pair_scores(champion, challenger)
    judged_by = tuple(dict.fromkeys((*config.slices, *watched)))
    comparison = Comparison(
        champion=pair.champion, challenger=pair.challenger, config=config, profile=profile, primary=tuple(primary),
        slices=tuple(name for name in judged_by if name in pair.champion.slices),
        watched=tuple(name for name in watched if name not in config.slices),
    )  # fmt: skip
    usable = [head for head in heads if head in champion.heads and head in challenger.heads]
    results = dict(zip(usable, compare_heads(comparison, usable, with_metrics=with_metrics), strict=True))
    lifts = [primary_mean(comparison, results), *(lift for result in results.values() for lift in result.lifts)]
    judged = judge_lifts(comparison, lifts)
    calibration = tuple(each for result in results.values() for each in result.calibration)
    findings = (
        *judge_sets(pair, facts),
        *(() if facts is None else judge_facts(profile, pair.champion.days, facts)),
        *missing_heads(heads, usable, comparison.primary),
        *missing_slices(judged_by, pair, expected or {}),
        *judged,
        *floors(comparison, lifts),
        *judge_calibrations(profile, calibration),
        *(judge_score_shift(profile, head, result.score_shift) for head, result in results.items()),
    )
    verdict, planned = overall(findings), rows_planned(comparison, lifts)
    undecided = verdict == "inconclusive"
    return GateResult(
        verdict=verdict,
        profile=profile_name,
        confidence=config.confidence,
        min_lift=profile.min_lift,
        slice_margin=profile.slice_margin,
        days=pair.champion.days,
        rows=pair.champion.rows,
        rows_planned=planned,
        rows_needed=rows_to_settle(comparison, lifts, judged, planned) if undecided else None,
        champion_digest=champion.model_digest,
        challenger_digest=challenger.model_digest,
        findings=findings,
        lifts=tuple(lifts),
        calibration=calibration,
        metrics=metrics_of(results) if with_metrics else {},
        unjudged=unjudged(profile, pair) if facts is None else (),
    )


def chosen_profile(config: GateConfig, name: str) -> ProfileConfig:
    if name not in config.profiles:
        raise EvaluationError(f"profile={name!r}: not in gate.profiles ({', '.join(config.profiles)}).")
    return config.profiles[name]


def judge_sets(pair: Pair, facts: Facts | None) -> list[Finding]:
    """What the score sets say about themselves."""
    found = []
    if pair.only_champion or pair.only_challenger:
        reason = (
            f"{pair.only_champion:,} rows of the champion's and {pair.only_challenger:,} of the challenger's score set "
            "have no counterpart by example_id; score both models on the same rows"
        )
        found.append(Finding(rule="rows paired", verdict="fail", reason=reason))
    learned = {day for side in (pair.champion, pair.challenger) for day in side.learned_days or ()}
    if facts is None and says_learned(pair):
        found.append(unseen_days(pair.champion.days, learned))
    return found


def says_learned(pair: Pair) -> bool:
    """Whether the score sets tell which days were learned and which are held out."""
    sides = (pair.champion, pair.challenger)
    return all(side.days for side in sides) and any(side.learned_days is not None for side in sides)


def missing_heads(heads: Sequence[str], usable: Sequence[str], primary: Sequence[str]) -> list[Finding]:
    return [
        Finding(rule="head present", head=head, verdict="fail", reason="a model has no scores for this head")
        for head in heads
        if head not in usable
    ] + [
        Finding(rule="head present", head=head, verdict="fail", reason="a primary head is not among the heads")
        for head in primary
        if head not in heads
    ]


def missing_slices(judged: Sequence[str], pair: Pair, expected: Mapping[str, Collection[str]]) -> list[Finding]:
    """A slice that nothing is known about is not a pass, nor a question of more rows: it fails."""
    found = [
        Finding(rule="slice present", slice_by=name, slice="any", verdict="fail",
                reason="a score set has no such column; score both models again")
        for name in judged
        if name not in pair.champion.slices
    ]  # fmt: skip
    for name in (name for name in judged if name in pair.champion.slices):
        held = set(pair.champion.slices[name].names)
        gone = {value for column, value in pair.lost if column == name} | (set(expected.get(name, ())) - held)
        reason = "no held-out row that both models scored is of this slice, so nothing is known about it"
        found += [
            Finding(rule="slice present", slice_by=name, slice=value, verdict="fail", reason=reason)
            for value in sorted(gone)
        ]
    return found


def floors(comparison: Comparison, lifts: Sequence[Lift]) -> list[Finding]:
    return [
        finding
        for lift in lifts
        if lift.head in comparison.primary and lift.slice is None and lift.challenger_auc is not None
        for finding in judge_floors(comparison, lift.head, lift.challenger_auc)
    ]


def metrics_of(results: Mapping[str, HeadResult]) -> dict[Side, tuple[HeadMetrics, ...]]:
    return {
        "champion": tuple(metric for result in results.values() for metric in result.champion),
        "challenger": tuple(metric for result in results.values() for metric in result.challenger),
    }


def unjudged(profile: ProfileConfig, pair: Pair) -> tuple[str, ...]:
    """Rules that need more than score sets."""
    asked = {
        "held-out days unseen": not says_learned(pair),
        "baseline current": True,
        "latency budget": profile.max_latency_ratio is not None or profile.max_latency_ms is not None,
        "size budget": profile.max_size_ratio is not None or profile.max_size_mb is not None,
        "data warnings": profile.max_warned_share is not None,
        "model age": profile.max_model_age_days is not None,
    }
    return tuple(rule for rule, is_open in asked.items() if is_open)
