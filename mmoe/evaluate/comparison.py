"""Champion and challenger on the same rows: relative AUC lifts with intervals, overall, by head and by view type."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmoe.config import GateConfig, ProfileConfig
from mmoe.data.scores import ScoreSet
from mmoe.errors import EvaluationError
from mmoe.evaluate.statistics import (
    Codes,
    Estimate,
    Interval,
    auc_estimate,
    interval,
    mean_of,
    relative_lift,
    rows_to_settle,
)
from mmoe.evaluate.verdict import Lift

NEGLIGIBLE = 1e-4
"""Smallest lift whose detection is asked about, where a profile's threshold is 0."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What rules look at: two score sets of the same rows, and how to read them."""

    champion: ScoreSet
    challenger: ScoreSet
    config: GateConfig
    profile: ProfileConfig
    primary: tuple[str, ...]
    cluster: Codes

    def estimate(self, head: str, rows: Codes) -> tuple[Estimate, Estimate] | None:
        """AUC of champion and challenger on the rows; None where a class is too rare."""
        labels = self.champion.labels[head][rows]
        positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
        if min(positives, negatives) < self.config.min_positives:
            return None
        before, after = (auc_estimate(labels, scores.logits[head][rows]) for scores in (self.champion, self.challenger))
        return before, after


def refuse_other_rows(champion: ScoreSet, challenger: ScoreSet) -> None:
    same = champion.rows == challenger.rows and bool(np.array_equal(champion.example_id, challenger.example_id))
    if not same:
        raise EvaluationError(
            f"the score sets hold different rows (champion {champion.rows}, challenger {challenger.rows}); score both "
            "models on the same partitions."
        )
    for head in set(champion.heads) & set(challenger.heads):
        if not np.array_equal(champion.labels[head], challenger.labels[head], equal_nan=True):
            raise EvaluationError(f"head {head!r}: the score sets hold different labels; score both models again.")


def all_lifts(comparison: Comparison, heads: Sequence[str]) -> tuple[Lift, ...]:
    """The mean over primary heads, each head, and each head on each view type."""
    champion = comparison.champion
    everything = np.arange(champion.rows)
    lifts = [primary_mean(comparison, heads, everything)]
    for head in heads:
        lifts.append(one_lift(comparison, head, None, everything))
        for code, name in enumerate(champion.view_type_names):
            lifts.append(one_lift(comparison, head, name, np.flatnonzero(champion.view_type == code)))
    return tuple(lifts)


def primary_mean(comparison: Comparison, heads: Sequence[str], rows: Codes) -> Lift:
    pairs = [comparison.estimate(head, rows) for head in comparison.primary if head in heads]
    present = [pair for pair in pairs if pair is not None]
    positives = sum(int((comparison.champion.labels[head] == 1).sum()) for head in comparison.primary if head in heads)
    if not present or len(present) < len(comparison.primary):
        return unknown(None, None, len(rows), positives)
    before, after = (mean_of([pair[side] for pair in present]) for side in (0, 1))
    lift = mean_of([relative_lift(*pair) for pair in present])
    return stated(comparison, None, None, before.value, after.value, lift, rows, positives)


def one_lift(comparison: Comparison, head: str, view_type: str | None, rows: Codes) -> Lift:
    labels = comparison.champion.labels[head][rows]
    known, positives = int((~np.isnan(labels)).sum()), int((labels == 1).sum())
    pair = comparison.estimate(head, rows)
    if pair is None:
        return unknown(head, view_type, known, positives)
    before, after = pair
    return stated(
        comparison, head, view_type, before.value, after.value, relative_lift(before, after), rows, positives, known
    )  # fmt: skip


def unknown(head: str | None, view_type: str | None, rows: int, positives: int) -> Lift:
    return Lift(
        head=head, view_type=view_type, champion_auc=None, challenger_auc=None, lift=None, low=None, high=None,
        rows=rows, positives=positives,
    )  # fmt: skip


def stated(
    comparison: Comparison, head: str | None, view_type: str | None, before: float, after: float, lift: Estimate,
    rows: Codes, positives: int, known: int | None = None,
) -> Lift:  # fmt: skip
    confidence = comparison.config.confidence
    found = interval(lift, confidence, comparison.cluster[rows])
    counted = len(rows) if known is None else known
    return Lift(
        head=head,
        view_type=view_type,
        champion_auc=before,
        challenger_auc=after,
        lift=found.value,
        low=found.low,
        high=found.high,
        rows=counted,
        positives=positives,
        rows_needed=rows_left_to_settle(comparison, head, view_type, found, counted),
    )


def rows_left_to_settle(
    comparison: Comparison, head: str | None, view_type: str | None, found: Interval, rows: int
) -> int | None:
    """None where the interval lies clear of what it is judged by."""
    profile = comparison.profile
    by_least = view_type is None and (head is None or head in comparison.primary)
    threshold = profile.min_lift if by_least else profile.slice_margin
    bound = 0.0 if by_least and 0 < threshold <= found.value else threshold
    if not found.low <= bound <= found.high:
        return None
    return rows_to_settle(rows, found, bound, max(NEGLIGIBLE, abs(threshold)), comparison.config.confidence)
