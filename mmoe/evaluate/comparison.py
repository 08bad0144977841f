"""Champion and challenger on the same rows: relative AUC lifts with intervals, overall, by head and by slice."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmoe.config import GateConfig, ProfileConfig
from mmoe.data.score_set import Codes, ScoreSet, Slicing
from mmoe.evaluate.measure import measure, slicings
from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.ranking import Doubles, Ties, gather_ties, influences, ratio, roc_aucs
from mmoe.evaluate.statistics import (
    Estimate,
    Spread,
    bootstrap,
    bounds_of,
    mean_of,
    minimum_detectable_effect,
    quantile,
    spread_of,
)
from mmoe.evaluate.verdict import Lift

MOST_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What rules look at: two score sets of the same rows, and how to read them."""

    champion: ScoreSet
    challenger: ScoreSet
    config: GateConfig
    profile: ProfileConfig
    primary: tuple[str, ...]
    slices: tuple[str, ...]
    """Slice columns that are judged."""


@dataclass(frozen=True, kw_only=True)
class HeadResult:
    """One head, on all rows first and then on each slice."""

    lifts: list[Lift]
    whole: Estimate | None
    """The lift over all rows with its influences; None where a class is too rare."""
    champion: list[HeadMetrics] = field(default_factory=list)
    challenger: list[HeadMetrics] = field(default_factory=list)


def compare_heads(comparison: Comparison, heads: Sequence[str], *, with_metrics: bool) -> list[HeadResult]:
    """Heads side by side on the machine's CPUs; the result does not depend on how many there are."""
    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)), max(1, len(heads)))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda head: compare_head(comparison, head, with_metrics=with_metrics), heads))


def compare_head(comparison: Comparison, head: str, *, with_metrics: bool) -> HeadResult:
    sides = (comparison.champion, comparison.challenger)
    result = HeadResult(lifts=[], whole=None)
    for name, slicing in slicings(comparison.champion, comparison.slices):
        before, after = (head_ties(side, comparison.champion, head, slicing) for side in sides)
        lifts, whole = slice_lifts(comparison, head, name, slicing, before, after)
        result.lifts.extend(lifts)
        if name is None:
            result = HeadResult(lifts=result.lifts, whole=whole)
        if with_metrics:
            result.champion.extend(measure(comparison.champion, head, name, slicing, before))
            result.challenger.extend(measure(comparison.challenger, head, name, slicing, after))
    return result


def head_ties(side: ScoreSet, paired: ScoreSet, head: str, slicing: Slicing) -> Ties:
    return gather_ties(
        side.logits[head], paired.labels[head], paired.weights.get(head), paired.final(head), slicing.codes,
        len(slicing.names),
    )  # fmt: skip


def slice_lifts(
    comparison: Comparison, head: str, name: str | None, slicing: Slicing, before: Ties, after: Ties
) -> tuple[list[Lift], Estimate | None]:
    """A lift for each slice of a column, and the first one's estimate."""
    scores, count = comparison.champion, len(slicing.names)
    known, positives = counts_of(slicing, before, count)
    usable = np.minimum(positives, known - positives) >= comparison.config.min_positives
    baseline, challenger = roc_aucs(before), roc_aucs(after)
    values = np.where(usable, ratio(challenger, baseline) - 1, 0.0)
    influence = lift_influences(scores, head, slicing, before, after, np.where(usable, baseline, np.inf), values)
    lifts = []
    for index, rows in enumerate(slicing.positions):
        place = {
            "head": head, "slice_by": name, "slice": None if name is None else slicing.names[index],
            "rows": int(known[index]), "positives": int(positives[index]),
        }  # fmt: skip
        if not usable[index]:
            lifts.append(unknown(**place))
            continue
        mine = (influence, scores.group) if name is None else (influence[rows], scores.group[rows])
        spread, auc = spread_of(*mine), (float(baseline[index]), float(challenger[index]))
        lifts.append(stated(comparison.config.confidence, auc, float(values[index]), spread, **place))
    first = Estimate(value=float(values[0]), influence=influence) if usable[0] else None
    return lifts, first


def counts_of(slicing: Slicing, ties: Ties, count: int) -> tuple[Codes, Codes]:
    """(S,) rows with a final label, and positives."""
    codes = slicing.codes[ties.rows]
    return np.bincount(codes, minlength=count), np.bincount(codes[ties.positive], minlength=count)


def lift_influences(
    scores: ScoreSet, head: str, slicing: Slicing, before: Ties, after: Ties, baseline: Doubles, lifts: Doubles
) -> Doubles:
    """(N,) each row's influence on its slice's relative lift, by the delta method."""
    weights = scores.weights.get(head)
    found = influences(before, weights, scores.rows)
    found *= (-1 - lifts)[slicing.codes]
    found += influences(after, weights, scores.rows)
    found /= baseline[slicing.codes]
    return np.nan_to_num(found, copy=False)


def primary_mean(comparison: Comparison, found: dict[str, HeadResult]) -> Lift:
    """The mean lift over the primary heads, their dependence included; unknown unless each is known."""
    of = [found[head] for head in comparison.primary if head in found]
    wholes = [each.whole for each in of if each.whole is not None]
    rows, positives = comparison.champion.rows, sum(each.lifts[0].positives for each in of)
    if not wholes or len(wholes) < len(comparison.primary):
        return unknown(head=None, rows=rows, positives=positives)
    mean = mean_of(wholes)
    aucs = [(each.lifts[0].champion_auc or 0.0, each.lifts[0].challenger_auc or 0.0) for each in of]
    before, after = np.mean(aucs, axis=0)
    spread = spread_of(mean.influence, comparison.champion.group)
    return stated(
        comparison.config.confidence, (float(before), float(after)), mean.value, spread, head=None, rows=rows,
        positives=positives,
    )  # fmt: skip


def unknown(**place: Any) -> Lift:
    return Lift(champion_auc=None, challenger_auc=None, lift=None, low=None, high=None, **place)


def stated(confidence: float, auc: tuple[float, float], value: float, spread: Spread, **place: Any) -> Lift:
    found, naive = bounds_of(value, spread, confidence), quantile(confidence) * spread.independent
    return Lift(
        champion_auc=auc[0],
        challenger_auc=auc[1],
        lift=value,
        low=found.low,
        high=found.high,
        standard_error=spread.error,
        freedom=None if np.isinf(spread.freedom) else spread.freedom,
        delong=(value - naive, value + naive),
        bootstrap=bootstrap(value, spread, confidence),
        clusters=spread.clusters,
        detectable=minimum_detectable_effect(spread.error, confidence),
        **place,
    )
