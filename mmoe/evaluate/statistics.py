"""Intervals for paired AUC lifts, from each row's influence on the AUC.

The AUC of a model moves by about (V₁₀(i) − AUC)/m when positive i is left out, and by (V₀₁(j) − AUC)/n for negative j,
where V₁₀(i) is the share of negatives that i outranks and V₀₁(j) the share of positives that outrank j (DeLong et al.
1988, eq. 5). Sums of squares of these influences give DeLong's variance; sums over a user's rows before squaring give
one that stays right when a user's rows depend on each other (Obuchowski 1997). Influences of two models and of several
heads add up row by row, so that every combination has its interval without a bootstrap.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from mmoe.evaluate.metrics import Doubles, Floats, midranks

POWER = 0.8
Codes = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A statistic of N rows and each row's influence on it: the deviations sum to 0, their squares to a variance."""

    value: float
    influence: Doubles
    """(N,) 0 for rows that do not count."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    value: float
    low: float
    high: float
    standard_error: float


def auc_estimate(labels: Floats, scores: Floats) -> Estimate:
    """AUC and influences on (N,) rows; NaN labels do not count. Both classes must be present."""
    influence = np.zeros(len(labels))
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    m, n = len(positive), len(negative)
    ranks = midranks(np.concatenate([scores[positive], scores[negative]]))
    above = (ranks[:m] - midranks(scores[positive])) / n
    below = 1 - (ranks[m:] - midranks(scores[negative])) / m
    auc = float(above.mean())
    influence[positive] = (above - auc) / np.sqrt(m * max(1, m - 1))
    influence[negative] = (below - auc) / np.sqrt(n * max(1, n - 1))
    return Estimate(value=auc, influence=influence)


def relative_lift(baseline: Estimate, challenger: Estimate) -> Estimate:
    """(challenger − baseline) / baseline, by the delta method."""
    ratio = challenger.value / baseline.value
    return Estimate(value=ratio - 1, influence=(challenger.influence - ratio * baseline.influence) / baseline.value)


def mean_of(estimates: list[Estimate]) -> Estimate:
    """The mean of statistics of the same rows, their dependence included."""
    return Estimate(
        value=float(np.mean([estimate.value for estimate in estimates])),
        influence=np.mean([estimate.influence for estimate in estimates], axis=0),
    )


def interval(estimate: Estimate, confidence: float, cluster: Codes | None = None) -> Interval:
    """Two-sided normal interval. `cluster` (N,) holds codes from 0 on; rows with -1 stand alone; None: all rows do.

    Never narrower than DeLong's: the deviations of a handful of clusters nearly cancel, and would pass for certainty.
    """
    error = max(standard_error(estimate.influence), standard_error(estimate.influence, cluster))
    reach = quantile(confidence) * error
    return Interval(value=estimate.value, low=estimate.value - reach, high=estimate.value + reach, standard_error=error)


def standard_error(influence: Doubles, cluster: Codes | None = None) -> float:
    if cluster is None:
        return float(np.sqrt(np.square(influence).sum()))
    grouped = cluster >= 0
    sums = np.bincount(cluster[grouped], weights=influence[grouped])
    return float(np.sqrt(np.square(sums).sum() + np.square(influence[~grouped]).sum()))


def quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def minimum_detectable_effect(standard_error: float, confidence: float) -> float:
    """The true lift that comes out significant with 80% probability."""
    return (quantile(confidence) + NormalDist().inv_cdf(POWER)) * standard_error


def rows_needed(rows: int, standard_error: float, effect: float, confidence: float) -> int:
    """Rows at which `effect` would be detectable, the standard error falling with the root of the rows."""
    return int(np.ceil(rows * (minimum_detectable_effect(standard_error, confidence) / abs(effect)) ** 2))


def rows_to_settle(rows: int, found: Interval, bound: float, effect: float, confidence: float) -> int | None:
    """Rows at which an interval that straddles `bound` would probably not; None if that takes ever more.

    Asked by the distance seen, but by no less than `effect`: a lift that happens to lie close to the bound does not
    ask for millions. Where as many rows are at hand already, by the distance alone.
    """
    distance = abs(found.value - bound)
    needed = rows_needed(rows, found.standard_error, max(distance, effect), confidence)
    if needed > rows:
        return needed
    return rows_needed(rows, found.standard_error, distance, confidence) if distance else None
