"""Intervals for paired AUC lifts, from each row's influence on the AUC.

The AUC of a model moves by about (V₁₀(i) − AUC)/m when positive i is left out, and by (V₀₁(j) − AUC)/n for negative j,
where V₁₀(i) is the share of negatives that i outranks and V₀₁(j) the share of positives that outrank j (DeLong et al.
1988, eq. 5). Sums of squares of these influences give DeLong's variance; sums over a user's rows before squaring give
one that stays right when a user's rows depend on each other (Obuchowski 1997). Influences of two models and of several
heads add up row by row, so that every combination has its interval without resampling.
"""

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from mmoe.evaluate.metrics import whole
from mmoe.evaluate.ranking import Floats, sums_by
from mmoe.evaluate.ties import Codes, Doubles

POWER = 0.8
BLOCKS, DRAWS = 2048, 1000
"""Most blocks of clusters that a bootstrap draws from, and how often it draws."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A statistic of N rows and each row's influence on it: the deviations sum to 0, their squares to a variance."""

    value: float
    influence: Doubles
    """(N,) 0 for rows that do not count."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a statistic of rows in clusters varies."""

    independent: float
    """Standard error were all rows independent."""
    clustered: float
    """Standard error when only clusters are."""
    freedom: float
    """Degrees of freedom of the larger one: (Σ s²)² / Σ s⁴ over what it sums (Satterthwaite 1946)."""
    clusters: int
    """Clusters with an influence."""
    blocks: Doubles
    """(B,) influence of blocks of whole clusters, for the bootstrap."""

    @property
    def error(self) -> float:
        """Never below the independent one: the deviations of few clusters nearly cancel, and pass for certainty."""
        return max(self.independent, self.clustered)


@dataclass(frozen=True, kw_only=True)
class Interval:
    value: float
    low: float
    high: float
    standard_error: float
    freedom: float = float("inf")


def auc_estimate(labels: Floats, scores: Floats, weights: Floats | None = None) -> Estimate:
    """AUC and influences on (N,) rows; NaN labels do not count. Both classes must be present."""
    rows = np.flatnonzero(~np.isnan(labels))
    found = whole(labels[rows], scores[rows], None if weights is None else weights[rows])
    influence = np.zeros(len(labels))
    influence[rows[found.ranking.rows]] = found.slices[0].influences(1.0)
    return Estimate(value=found.slices[0].auc, influence=influence)


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


def spread_of(influence: Doubles, cluster: Codes | None = None) -> Spread:
    """The spread of a statistic from its rows' influences. `cluster` (N,) holds codes from 0 on; None: rows alone."""
    sums = influence if cluster is None else sums_by(cluster, influence, 0)
    independent, clustered = float(influence @ influence), float(sums @ sums)
    larger = np.square(sums if clustered >= independent else influence)
    return Spread(
        independent=float(np.sqrt(independent)),
        clustered=float(np.sqrt(clustered)),
        freedom=degrees_of_freedom(float(larger.sum()), float(larger @ larger)),
        clusters=int(np.count_nonzero(sums)),
        blocks=in_blocks(sums),
    )


def degrees_of_freedom(variance: float, squared: float) -> float:
    return max(1.0, variance**2 / squared) if squared > 0 else float("inf")


def in_blocks(sums: Doubles) -> Doubles:
    """(C,) influences of clusters -> (B,) of blocks of whole clusters, dealt out in turn.

    B is a power of two, so that few sets of draws serve all; a block without clusters moves nothing.
    """
    size = min(BLOCKS, 1 << max(0, len(sums) - 1).bit_length())
    whole = np.zeros(-(-len(sums) // size) * size)
    whole[: len(sums)] = sums
    return np.asarray(whole.reshape(-1, size).sum(axis=0))


def interval(estimate: Estimate, confidence: float, cluster: Codes | None = None) -> Interval:
    """Two-sided interval by Student's t; rows of a cluster may depend on each other."""
    return bounds_of(estimate.value, spread_of(estimate.influence, cluster), confidence)


def bounds_of(value: float, spread: Spread, confidence: float) -> Interval:
    reach = student(confidence, spread.freedom) * spread.error
    return Interval(
        value=value, low=value - reach, high=value + reach, standard_error=spread.error, freedom=spread.freedom
    )


def bootstrap(value: float, spread: Spread, confidence: float) -> tuple[float, float]:
    """Percentile interval of a bootstrap over clusters: each draw counts every block of clusters anew.

    Drawing from influences, not rows, makes it first-order: no model is ranked again.
    """
    drawn = draws(len(spread.blocks)) @ spread.blocks
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return value + float(low), value + float(high)


@cache
def draws(blocks: int) -> Doubles:
    """(DRAWS, blocks) how much more or less often than once each draw counts a block; the same in every process."""
    rng = np.random.default_rng(20261125)
    counts = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=DRAWS) if blocks else np.zeros((DRAWS, 0))
    return counts.astype(np.float64) - 1


def student(confidence: float, freedom: float) -> float:
    """Half-width of a two-sided interval, in standard errors."""
    from scipy.special import stdtrit

    return quantile(confidence) if np.isinf(freedom) else float(stdtrit(freedom, 0.5 + confidence / 2))


def worse_than(value: float, bound: float, error: float, freedom: float) -> float:
    """One-sided p-value of the claim that the true value is at least `bound`."""
    from scipy.special import ndtr, stdtr

    if error == 0:
        return float(value >= bound)
    away = (value - bound) / error
    return float(ndtr(away) if np.isinf(freedom) else stdtr(freedom, away))


def holm(p_values: list[float], level: float) -> list[bool]:
    """Which claims are rejected when all of them together may be rejected wrongly at most `level` of the time.

    Holm 1979: the smallest p-value against level/K, the next against level/(K − 1), until one holds. Valid whatever
    the dependence between heads and slices.
    """
    rejected = [False] * len(p_values)
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] > level / (len(p_values) - place):
            break
        rejected[index] = True
    return rejected


def quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def minimum_detectable_effect(standard_error: float, confidence: float) -> float:
    """The true lift that comes out significant with 80% probability."""
    return (quantile(confidence) + NormalDist().inv_cdf(POWER)) * standard_error
