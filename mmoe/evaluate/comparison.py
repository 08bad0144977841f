"""Champion and challenger on the same rows: relative AUC lifts with intervals, overall, by head and by slice."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from mmoe.data.score_set import ScoreSet, Slicing
from mmoe.evaluate.grouped import rank_in_groups
from mmoe.evaluate.measure import by_head, measure, ranking_of, slicings
from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.ranking import Cut, Ranking, cut, ratio
from mmoe.evaluate.shift import ScoreShift, score_shift
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
from mmoe.evaluate.ties import Codes, Doubles, Ties
from mmoe.evaluate.verdict import Calibration, Lift
from mmoe.gate_config import GateConfig, ProfileConfig


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
    score_shift: ScoreShift


@dataclass(frozen=True, kw_only=True)
class Facing:
    """Two rankings of the same n rows, in the challenger's order."""

    place: Codes
    """(n,) where the row is in the champion's."""
    group: Codes
    """(n,)"""
    room: Doubles
    """(n,) for the champion's influences, in its own order."""

    @classmethod
    def of(cls, champion: Ranking, challenger: Ranking, group: Codes, rows: int) -> Self:
        """rows: N, of which the rankings hold n."""
        places = np.zeros(rows, dtype=np.int32)
        places[champion.rows] = np.arange(len(champion.rows), dtype=np.int32)
        return cls(place=places.take(challenger.rows), group=group, room=np.zeros(len(group)))

    def influences(self, before: Ties, after: Ties) -> Doubles:
        """(n of one slice,) each row's influence on the relative lift, by the delta method."""
        self.room[before.place] = before.influences(-after.auc / before.auc**2)
        found = self.room.take(self.place[after.place])
        found += after.influences(1 / before.auc)
        return found


def compare_heads(comparison: Comparison, heads: Sequence[str], *, with_metrics: bool) -> list[HeadResult]:
    return by_head(lambda head: compare_head(comparison, head, with_metrics=with_metrics), heads)


def compare_head(comparison: Comparison, head: str, *, with_metrics: bool) -> HeadResult:
    paired = comparison.champion
    ranked = [ranking_of(side, paired, head) for side in (paired, comparison.challenger)]
    groups = [paired.group.take(each.rows) for each in ranked]
    grouped = [rank_in_groups(*each) for each in zip(ranked, groups, strict=True)] if with_metrics else []
    facing = Facing.of(ranked[0], ranked[1], groups[1], paired.rows)
    result = HeadResult(lifts=[], whole=None, score_shift=shift_of(*ranked))
    for name, slicing in slicings(paired, comparison.slices):
        cuts = [cut(each, slicing.codes, len(slicing.names)) for each in ranked]
        lifts, whole = slice_lifts(comparison, head, name, slicing, facing, *cuts)
        result.lifts.extend(lifts)
        result.calibration.extend(slice_calibrations(comparison, head, name, slicing, *cuts))
        if name is None:
            result = replace(result, whole=whole)
        if with_metrics:
            for kept, each, found in zip((result.champion, result.challenger), cuts, grouped, strict=True):
                kept.extend(measure(head, name, slicing, each, found))
    return result


def shift_of(champion: Ranking, challenger: Ranking) -> ScoreShift:
    """Where nothing was observed, or predicted, the champion is left as it is."""
    observed, predicted = champion.weighted(champion.positive).sum(), champion.promised.sum()
    return score_shift(champion.scores, challenger.scores, observed / predicted if observed and predicted else 1.0)


def slice_lifts(
    comparison: Comparison, head: str, name: str | None, slicing: Slicing, facing: Facing, before: Cut, after: Cut
) -> tuple[list[Lift], Estimate | None]:
    """A lift for each slice of a column, and the estimate of the one over all rows."""
    lifts, whole = [], None
    for index, (old, new) in enumerate(zip(before.slices, after.slices, strict=True)):
        place = {
            "head": head, "slice_by": name, "slice": None if name is None else slicing.names[index],
            "rows": old.rows, "positives": old.positives,
        }  # fmt: skip
        if min(old.positives, old.rows - old.positives) < comparison.config.min_positives:
            lifts.append(unknown(**place))
            continue
        influence, value = facing.influences(old, new), new.auc / old.auc - 1
        spread = spread_of(influence, facing.group[new.place])
        lifts.append(stated(comparison.config.confidence, (old.auc, new.auc), value, spread, **place))
        if name is None:
            whole = Estimate(value=value, influence=np.zeros(comparison.champion.rows))
            whole.influence[after.ranking.rows] = influence
    return lifts, whole


def slice_calibrations(
    comparison: Comparison, head: str, name: str | None, slicing: Slicing, before: Cut, after: Cut
) -> list[Calibration]:
    champion, challenger = (ratio(found.sums(found.ranking.promised), found.hits) for found in (before, after))
    return [
        Calibration(
            head=head, slice_by=name, slice=None if name is None else slicing.names[index],
            champion=float(champion[index]), challenger=float(challenger[index]),
            error=float(1 / np.sqrt(ties.positives)),
        )
        for index, ties in enumerate(before.slices)
        if ties.positives >= comparison.config.min_positives
    ]  # fmt: skip


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
