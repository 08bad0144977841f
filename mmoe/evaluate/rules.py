"""Rules on lifts: what each must prove, and what is refused.

Every lift has two bounds. A rule fails when the interval lies below what is refused, passes when it lies above what
must be proved, and is inconclusive otherwise. That all rules must pass needs no correction for their number: each bad
model has to slip through its own rule (an intersection-union test). That any rule may fail does: heads and slices are
refused by Holm's procedure, so that a sound model with a hundred slices is not refused for the worst of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mmoe.evaluate.comparison import Comparison
from mmoe.evaluate.statistics import holm, worse_than
from mmoe.evaluate.verdict import Finding, Lift, Word


@dataclass(frozen=True, kw_only=True)
class Bounds:
    rule: str
    prove: float | None
    """The interval must lie above it; None: there is nothing to prove."""
    refuse: float
    """An interval below it fails."""


def bounds_for(comparison: Comparison, lift: Lift) -> Bounds:
    profile = comparison.profile
    if lift.head is None:
        return Bounds(rule="lift", prove=profile.prove_lift, refuse=profile.min_lift)
    if lift.head not in comparison.primary:
        return Bounds(rule="guardrail", prove=None, refuse=profile.slice_margin)
    rule = "head" if lift.slice is None else "slice"
    prove = None if lift.slice_by in comparison.watched else profile.prove_slices
    return Bounds(rule=rule, prove=prove, refuse=profile.slice_margin)


def judge_lifts(comparison: Comparison, lifts: Sequence[Lift]) -> list[Finding]:
    """A finding for each lift, in their order."""
    refused = refused_lifts(comparison, lifts)
    return [judge_lift(comparison, lift, refused=index in refused) for index, lift in enumerate(lifts)]


def refused_lifts(comparison: Comparison, lifts: Sequence[Lift]) -> set[int]:
    """Positions of the lifts that are shown to be worse: the mean by itself, heads and slices by Holm."""
    level = (1 - comparison.config.confidence) / 2
    claims = {
        index: p_value(lift, bounds_for(comparison, lift).refuse)
        for index, lift in enumerate(lifts)
        if lift.lift is not None
    }
    family = [index for index in claims if lifts[index].head is not None]
    rejected = holm([claims[index] for index in family], level)
    found = {index for index, wrong in zip(family, rejected, strict=True) if wrong}
    return found | {index for index, p in claims.items() if index not in family and p <= level}


def p_value(lift: Lift, bound: float) -> float:
    freedom = float("inf") if lift.freedom is None else lift.freedom
    return worse_than(lift.lift or 0.0, bound, lift.standard_error or 0.0, freedom)


def judge_lift(comparison: Comparison, lift: Lift, *, refused: bool) -> Finding:
    bounds = bounds_for(comparison, lift)
    if lift.lift is None or lift.low is None:
        return too_small(comparison, lift, bounds)
    shown = f"{lift.lift:+.2%} [{lift.low:+.2%}, {lift.high:+.2%}]"
    if refused:
        return found(bounds.rule, lift, "fail", f"{shown} lies below {bounds.refuse:+.2%}")
    if bounds.prove is None:
        return found(bounds.rule, lift, "pass", f"{shown} is not shown to be below {bounds.refuse:+.2%}")
    if lift.low > bounds.prove:
        return found(bounds.rule, lift, "pass", f"{shown} lies above {bounds.prove:+.2%}{within(bounds)}")
    return found(bounds.rule, lift, "inconclusive", f"{shown} does not settle {bounds.prove:+.2%}{within(bounds)}")


def within(bounds: Bounds) -> str:
    """What else holds, where more is asked for than must be proved."""
    more = bounds.prove is not None and bounds.refuse > bounds.prove
    return f", and may be {bounds.refuse:+.2%}" if more else ""


def too_small(comparison: Comparison, lift: Lift, bounds: Bounds) -> Finding:
    """Hardly any labels: a primary head cannot be judged, a slice proves nothing, a guardrail does not object."""
    if lift.head is None:
        reason = (
            "a primary head has no scores of both models, or too few of a class, so there is no mean over them"
            if comparison.primary
            else "every head is a guardrail, so there is nothing to prove; leave one out"
        )
        return found(bounds.rule, lift, "fail", reason)
    reason = (
        f"{lift.positives:,} positives of {lift.rows:,} rows: fewer than {comparison.config.min_positives} of a class "
        "prove nothing"
    )
    if bounds.rule == "head":
        return found(bounds.rule, lift, "fail", reason)
    word: Word = "pass" if bounds.prove is None else "inconclusive"
    return found("slice too small" if bounds.rule == "slice" else bounds.rule, lift, word, reason)


def found(rule: str, lift: Lift, verdict: Word, reason: str) -> Finding:
    return Finding(rule=rule, head=lift.head, slice_by=lift.slice_by, slice=lift.slice, verdict=verdict, reason=reason)
