"""Champion and challenger on the same rows: relative AUC lifts with intervals, overall, by head and by slice."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mmoe.config import GateConfig, ProfileConfig
from mmoe.data.score_set import ScoreSet, Slicing
from mmoe.evaluate.grouped import rank_in_groups
from mmoe.evaluate.measure import by_head, measure, promised, ranking_of, slicings
from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.ranking import Doubles, Ties, add_influences, cut, ratio, roc_aucs
from mmoe.evaluate.shift import score_shift
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
from mmoe.evaluate.verdict import Calibration, Lift


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
    watched: tuple[str, ...] = ()
    """Those of them on which nothing must be proved: the challenger must only not be shown to be worse."""


@dataclass(frozen=True, kw_only=True)
class HeadResult:
    """One head, on all rows first and then on each slice."""

    lifts: list[Lift]
    whole: Estimate | None
    """The lift over all rows with its influences; None where a class is too rare."""
    champion: list[HeadMetrics] = field(default_factory=list)
    challenger: list[HeadMetrics] = field(default_factory=list)
    calibration: list[Calibration] = field(default_factory=list)
    """Of all rows and each slice that has enough positives."""
    score_shift: float = 0.0
    """Population stability index of the scores between champion and challenger."""


def compare_heads(comparison: Comparison, heads: Sequence[str], *, with_metrics: bool) -> list[HeadResult]:
    return by_head(lambda head: compare_head(comparison, head, with_metrics=with_metrics), heads)


def compare_head(comparison: Comparison, head: str, *, with_metrics: bool) -> HeadResult:
    paired = comparison.champion
    ranked = [ranking_of(side, paired, head) for side in (paired, comparison.challenger)]
    grouped = [rank_in_groups(each, paired.group) for each in ranked] if with_metrics else []
    result = HeadResult(lifts=[], whole=None, score_shift=score_shift(*(each.scores for each in ranked)))
    for name, slicing in slicings(paired, comparison.slices):
        before, after = ties = [cut(each, slicing.codes, len(slicing.names)) for each in ranked]
        lifts, whole = slice_lifts(comparison, head, name, slicing, before, after)
        result.lifts.extend(lifts)
        result.calibration.extend(slice_calibrations(comparison, head, name, slicing, before, after))
        if name is None:
            result = replace(result, whole=whole)
        if with_metrics:
            for kept, each, groups in zip((result.champion, result.challenger), ties, grouped, strict=True):
                kept.extend(measure(head, name, slicing, each, groups))
    return result


def slice_lifts(
    comparison: Comparison, head: str, name: str | None, slicing: Slicing, before: Ties, after: Ties
) -> tuple[list[Lift], Estimate | None]:
    """A lift for each slice of a column, and the first one's estimate."""
    scores = comparison.champion
    known, positives = before.counts
    usable = np.minimum(positives, known - positives) >= comparison.config.min_positives
    baseline, challenger = roc_aucs(before), roc_aucs(after)
    values = np.where(usable, ratio(challenger, baseline) - 1, 0.0)
    influence = lift_influences(scores.rows, before, after, np.where(usable, baseline, np.inf), values)
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


def slice_calibrations(
    comparison: Comparison, head: str, name: str | None, slicing: Slicing, before: Ties, after: Ties
) -> list[Calibration]:
    _, positives = before.counts
    champion, challenger = (ratio(promised(ties), ties.hits) for ties in (before, after))
    return [
        Calibration(
            head=head, slice_by=name, slice=None if name is None else slicing.names[index],
            champion=float(champion[index]), challenger=float(challenger[index]),
            error=float(1 / np.sqrt(positives[index])),
        )
        for index in np.flatnonzero(positives >= comparison.config.min_positives)
    ]  # fmt: skip


def lift_influences(rows: int, before: Ties, after: Ties, baseline: Doubles, lifts: Doubles) -> Doubles:
    """(N,) each row's influence on its slice's relative lift, by the delta method. baseline: inf on unusable slices."""
    found = np.zeros(rows)
    add_influences(found, before, (-1 - lifts) / baseline)
    add_influences(found, after, 1 / baseline)
    return found


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
