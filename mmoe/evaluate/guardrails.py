"""Rules beside the lifts: floors, calibration, shift of scores, serving budgets, data warnings, age of the model."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np

from mmoe.evaluate.comparison import Comparison
from mmoe.evaluate.metrics import calibration_error, normalised_entropy
from mmoe.evaluate.shift import ScoreShift
from mmoe.evaluate.verdict import Calibration, Finding, Word
from mmoe.gate_config import ProfileConfig

CHANCE = 0.05
"""Risk that any slice's calibration fails though it grew by no more than its bound."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What serving a model takes."""

    latency_ms: float
    """Median of one request, measured side by side with the other model."""
    size_bytes: int
    """Of the bundle."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What score sets cannot say. A fact that a rule needs and that is None fails closed."""

    champion_now: str | None
    """Who is champion at the time of judging."""
    champion_planned: str | None
    """Who was when the comparison was planned."""
    trained_days: Collection[date]
    """What challenger, baseline and teacher have learned from, but for rows that were left out to be judged on."""
    champion_cost: Cost | None = None
    challenger_cost: Cost | None = None
    used_days: Collection[date] = ()
    """Days that the challenger learned from or is judged on."""
    warned_days: Collection[date] = ()
    """Those that carry data warnings."""
    learned_through: date | None = None


def judge_calibrations(profile: ProfileConfig, found: Sequence[Calibration]) -> list[Finding]:
    """Slices share the risk that one of them fails by chance (Bonferroni), however many there are."""
    slices = sum(each.slice is not None for each in found)
    reach = NormalDist().inv_cdf(1 - CHANCE / max(1, slices))
    return [judge_calibration(profile, each, reach) for each in found]


def judge_calibration(profile: ProfileConfig, found: Calibration, reach: float) -> Finding:
    """How much further than the champion's the challenger's calibration ratio is from 1, in logarithms.

    On a slice the growth must exceed the bound by `reach` standard errors: few positives measure a rate badly.
    """
    most = profile.max_calibration_shift
    growth = abs(np.log(found.challenger)) - abs(np.log(found.champion))
    chance = 0.0 if found.slice is None else reach * found.error
    word: Word = "fail" if growth - chance > most else "pass"
    reason = (
        f"predicted over observed rate {found.challenger:.3f} (champion {found.champion:.3f}); "
        f"{'more' if word == 'fail' else 'not more' if growth <= most else 'not shown to be more'} "
        f"than {most:.0%} further from 1"
    )
    return Finding(
        rule="calibration", head=found.head, slice_by=found.slice_by, slice=found.slice, verdict=word, reason=reason
    )


def judge_score_shift(profile: ProfileConfig, head: str, shift: ScoreShift) -> Finding:
    most = profile.max_score_shift
    word: Word = "fail" if shift.unexplained > most else "pass"
    reason = (
        f"population stability index of the scores {shift.whole:.3f}, {shift.corrected:.3f} from the champion's "
        f"corrected to the observed rate; the lower is {'more than' if word == 'fail' else 'at most'} {most:g}"
    )
    return Finding(rule="score shift", head=head, verdict=word, reason=reason)


def judge_floors(comparison: Comparison, head: str, auc: float) -> Iterator[Finding]:
    """Absolute bounds of a head on all rows, whatever the champion's figures are. auc: the challenger's."""
    profile, rows = comparison.profile, comparison.champion.final(head)
    weights = comparison.champion.weights.get(head)
    of = (comparison.champion.labels[head][rows], comparison.challenger.logits[head][rows])
    mass = None if weights is None else weights[rows]
    if profile.min_auc is not None:
        yield floor(head, "AUC", auc, profile.min_auc, wrong=auc < profile.min_auc)
    if (most := profile.max_normalised_entropy) is not None:
        value = normalised_entropy(*of, mass)
        yield floor(head, "normalised entropy", value, most, wrong=value > most)
    if (most := profile.max_calibration_error) is not None:
        value = calibration_error(*of, mass)
        yield floor(head, "expected calibration error", value, most, wrong=value > most)


def floor(head: str, name: str, value: float, bound: float, *, wrong: bool) -> Finding:
    reason = f"{name} {value:.4f}; {'beyond' if wrong else 'within'} the bound of {bound:g}"
    return Finding(rule="floor", head=head, verdict="fail" if wrong else "pass", reason=reason)


def judge_facts(profile: ProfileConfig, days: Sequence[date], facts: Facts) -> Iterator[Finding]:
    yield unseen_days(days, facts.trained_days)
    yield judge_baseline(facts)
    yield from judge_costs(profile, facts)
    if profile.max_warned_share is not None:
        yield judge_warnings(profile.max_warned_share, facts)
    if profile.max_model_age_days is not None:
        yield judge_age(profile.max_model_age_days, days, facts.learned_through)


def unseen_days(days: Sequence[date], trained: Collection[date]) -> Finding:
    spoilt = sorted(set(days) & set(trained))
    if spoilt:
        reason = f"trained on the held-out {', '.join(map(str, spoilt))}: nothing can be concluded from those rows"
        return Finding(rule="held-out days unseen", verdict="fail", reason=reason)
    reason = f"neither model has learned the held-out rows of {', '.join(map(str, days))}"
    return Finding(rule="held-out days unseen", verdict="pass", reason=reason)


def judge_baseline(facts: Facts) -> Finding:
    now, planned = facts.champion_now, facts.champion_planned
    if now is None or now != planned:
        reason = f"planned against champion {planned or 'none'}, but the champion is {now or 'none'} now: plan again"
        return Finding(rule="baseline current", verdict="fail", reason=reason)
    return Finding(rule="baseline current", verdict="pass", reason=f"version {now} is still champion")


def judge_costs(profile: ProfileConfig, facts: Facts) -> Iterator[Finding]:
    before, after = facts.champion_cost, facts.challenger_cost
    bounds = (
        ("latency budget", profile.max_latency_ratio, profile.max_latency_ms),
        ("size budget", profile.max_size_ratio, profile.max_size_mb),
    )
    for rule, most_ratio, most in bounds:
        if most_ratio is None and most is None:
            continue
        if before is None or after is None:
            yield Finding(rule=rule, verdict="fail", reason="not measured; run evaluate again")
            continue
        old, new = (cost.latency_ms if rule == "latency budget" else cost.size_bytes / 1e6 for cost in (before, after))
        unit = "ms" if rule == "latency budget" else "MB"
        wrong = (most_ratio is not None and new > most_ratio * old) or (most is not None and new > most)
        asked = [f"{most_ratio:g} times" if most_ratio else "", f"{most:g} {unit}" if most else ""]
        reason = f"{new:.2f} {unit}, champion {old:.2f} {unit}; allowed {' and '.join(part for part in asked if part)}"
        yield Finding(rule=rule, verdict="fail" if wrong else "pass", reason=reason)


def judge_warnings(most: float, facts: Facts) -> Finding:
    used, warned = set(facts.used_days), set(facts.warned_days) & set(facts.used_days)
    word: Word = "inconclusive" if len(warned) > most * len(used) or not used else "pass"
    reason = f"{len(warned)} of {len(used)} days carry data warnings; allowed {most:.0%}"
    return Finding(rule="data warnings", verdict=word, reason=reason)


def judge_age(most: int, days: Sequence[date], learned_through: date | None) -> Finding:
    if learned_through is None or not days:
        return Finding(rule="model age", verdict="fail", reason="the newest day that it learned is not known")
    age = (max(days) - learned_through).days
    word: Word = "fail" if age > most else "pass"
    reason = f"learned through {learned_through}, {age} days before the newest held-out day; allowed {most}"
    return Finding(rule="model age", verdict=word, reason=reason)
