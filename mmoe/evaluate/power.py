"""How many held-out rows a profile needs, and how many would settle a verdict. Standard errors fall with their root."""

from collections.abc import Sequence
from statistics import NormalDist

from mmoe.evaluate.comparison import Comparison
from mmoe.evaluate.rules import Bounds, bounds_for
from mmoe.evaluate.statistics import quantile, student
from mmoe.evaluate.verdict import Finding, Lift

PASS = 0.9
"""Planned probability that a model which is as good as the profile asks passes all its rules: above the promised 80%,
because the standard errors that it is planned from are estimates."""
CATCH = 0.98
"""Planned probability that a loss of `gate.slice_loss` on one slice is refused; promised are 95%."""
NORMAL = NormalDist()
STEPS = 60


def rows_planned(comparison: Comparison, lifts: Sequence[Lift]) -> int | None:
    """Held-out rows at which the profile's characteristics hold, from the standard errors found on these rows.

    A model that truly lifts everything by `min_lift` (by 0 where the profile asks for no lift) passes all rules, and a
    primary head that truly loses `slice_loss` on one slice is refused. None where nothing could be measured.
    """
    rows = comparison.champion.rows
    known = [(lift, bounds_for(comparison, lift)) for lift in lifts if lift.standard_error]
    factors = [passing(comparison, known), *(catching(comparison, lift, len(lifts) - 1) for lift, _ in known)]
    factors += [measuring(comparison, lift) for lift in lifts if lift.lift is None]
    return round(rows * max(factors)) if known else None


def passing(comparison: Comparison, known: Sequence[tuple[Lift, Bounds]]) -> float:
    """How many times these rows let the model asked for pass: the risks of its rules add up to at most 1 − PASS."""
    wanted, confidence = max(comparison.profile.min_lift, 0.0), comparison.config.confidence
    proofs = [
        (student(confidence, freedom_of(lift)), (wanted - bounds.prove) / (lift.standard_error or 1.0))
        for lift, bounds in known
        if bounds.prove is not None
    ]
    spent = sum((1 - confidence) / 2 for lift, bounds in known if lift.head is None and bounds.refuse == wanted)
    low, high = -20.0, 40.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        risk = spent + sum(NORMAL.cdf(reach - proof * 2 ** (middle / 2)) for reach, proof in proofs)
        low, high = (low, middle) if risk <= 1 - PASS else (middle, high)
    return float(2**high) if proofs else 0.0


def catching(comparison: Comparison, lift: Lift, claims: int) -> float:
    """How many times these rows show a primary head's loss of `slice_loss` here, against Holm's first level."""
    if lift.head not in comparison.primary:
        return 0.0
    level = (1 - comparison.config.confidence) / 2 / max(1, claims)
    away = comparison.config.slice_loss + comparison.profile.slice_margin
    if away <= 0:
        return 0.0
    reach = student(1 - 2 * level, freedom_of(lift)) + NORMAL.inv_cdf(CATCH)
    return float(((lift.standard_error or 0.0) * reach / away) ** 2)


def freedom_of(lift: Lift) -> float:
    return float("inf") if lift.freedom is None else lift.freedom


def measuring(comparison: Comparison, lift: Lift) -> float:
    """How many times these rows would give a primary slice enough labels to be measured at all."""
    rarest = min(lift.positives, lift.rows - lift.positives)
    judged = lift.head in comparison.primary and bounds_for(comparison, lift).prove is not None
    return comparison.config.min_positives / rarest if judged and rarest else 0.0


def rows_to_settle(
    comparison: Comparison, lifts: Sequence[Lift], findings: Sequence[Finding], planned: int | None
) -> int | None:
    """Rows that an inconclusive verdict asks for: those planned or, where they are at hand, by the distances seen.

    Always more than are at hand; None where nothing measurable is open, or a lift lies so close to what it must prove
    that no number can be named.
    """
    rows = comparison.champion.rows
    if planned is not None and planned > rows:
        return planned
    reach = quantile(comparison.config.confidence) + NORMAL.inv_cdf(PASS)
    factors = []
    for lift, finding in zip(lifts, findings, strict=True):
        prove = bounds_for(comparison, lift).prove
        if finding.verdict == "inconclusive" and lift.lift is not None and prove is not None:
            distance = abs(lift.lift - prove)
            factors.append((reach * (lift.standard_error or 0.0) / distance) ** 2 if distance else float("inf"))
    factor = max(factors, default=0.0)
    return round(rows * factor) if 1 < factor < float("inf") else None
