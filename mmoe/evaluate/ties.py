"""The rows of one slice by ascending score, with equal scores gathered: exact ranking metrics, and influences.

n rows in T groups of equal scores, H of which hold a positive. Sums over all pairs become sums over those H.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Ties:
    place: Codes | slice
    """(n,) places of the rows in their ranking, ascending."""
    positive: Flags
    """(n,)"""
    weights: Doubles | None
    """(n,) None means 1 each."""
    starts: Codes
    """(T + 1,) where each group begins among the n rows, and n."""

    @property
    def rows(self) -> int:
        """n"""
        return len(self.positive)

    @cached_property
    def positives(self) -> int:
        return int(np.count_nonzero(self.positive))

    @cached_property
    def counts_below(self) -> Codes:
        """(T + 1,) positive rows of lower groups; of all at last."""
        return running(self.positive, np.int32).take(self.starts)

    @cached_property
    def hits_below(self) -> Codes | Doubles:
        """(T + 1,) weight of those."""
        if self.weights is None:
            return self.counts_below
        return running(self.weights * self.positive, np.float64).take(self.starts)

    @cached_property
    def weight_below(self) -> Codes | Doubles:
        """(T + 1,) weight of all rows of lower groups."""
        return self.starts if self.weights is None else running(self.weights, np.float64).take(self.starts)

    @property
    def hits(self) -> float:
        """Weight of the positives."""
        return float(self.hits_below[-1])

    @property
    def misses(self) -> float:
        return float(self.weight_below[-1]) - self.hits

    @cached_property
    def held(self) -> Codes:
        """(H,) groups with a positive."""
        return np.flatnonzero(np.diff(self.counts_below))

    @cached_property
    def misses_below_held(self) -> Doubles:
        """(H,) weight of the negatives of lower score, and half the group's own."""
        return middle(self.weight_below, self.held) - middle(self.hits_below, self.held)

    @cached_property
    def gained(self) -> Doubles:
        """(H,) weight of the group's positives."""
        return np.subtract(self.hits_below.take(self.held + 1), self.hits_below.take(self.held), dtype=np.float64)

    @cached_property
    def auc(self) -> float:
        """P(score of a positive > that of a negative) + ½ P(equal); NaN where a class is missing."""
        return quotient(float(self.gained @ self.misses_below_held), self.hits * self.misses)

    @cached_property
    def average_precision(self) -> float:
        """Sum over distinct thresholds of (recall gained) × precision; NaN without positives."""
        found = self.hits - self.hits_below.take(self.held).astype(np.float64)
        chosen = float(self.weight_below[-1]) - self.weight_below.take(self.held).astype(np.float64)
        return quotient(float(self.gained @ (found / chosen)), self.hits)

    def influences(self, scale: float) -> Doubles:
        """(n,) scale × each row's influence on the AUC: see mmoe.evaluate.statistics. Both classes must be present."""
        auc, hit, miss = self.auc, unbiased(self.hits), unbiased(self.misses)
        found = middle(self.hits_below)
        found *= -scale * miss / self.hits
        found += scale * (1 - auc) * miss
        if len(found) < self.rows:
            found = np.repeat(found, np.diff(self.starts))
        above = self.misses_below_held * (scale * hit / self.misses) - scale * auc * hit
        found[self.positive] = np.repeat(above, np.diff(self.counts_below).take(self.held))
        return found if self.weights is None else found * self.weights

    def edges(self, bins: int, rounding: float) -> Codes:
        """(bins − 1,) the first group of each but the first of `bins` bins of about equal weight.

        A group belongs to the bin that its lowest weight falls in.
        """
        shares = (np.arange(1, bins) - rounding) / bins
        return np.searchsorted(self.weight_below[:-1], shares * float(self.weight_below[-1]))

    def places(self, rows: Codes, end: int) -> Codes:
        """Where these of the n rows are in the ranking; n is at its end."""
        if isinstance(self.place, slice):
            return rows
        found, inside = np.full(len(rows), end), rows < self.rows
        found[inside] = self.place[rows[inside]]
        return found


def gather(place: Codes | slice, positive: Flags, first: Flags, weights: Doubles | None) -> Ties:
    """first: (n,) whether a row's score is higher than that of the row before it; true for the first."""
    starts = np.append(np.flatnonzero(first), len(first))
    return Ties(place=place, positive=positive, weights=weights, starts=starts)


def running(values: npt.NDArray[Any], kind: Any) -> npt.NDArray[Any]:
    """(n,) -> (n + 1,) sums of the values before each, and of all."""
    found = np.zeros(len(values) + 1, dtype=kind)
    np.cumsum(values, dtype=kind, out=found[1:])
    return found


def middle(below: npt.NDArray[Any], groups: Codes | None = None) -> Doubles:
    """(T + 1,) -> (T,) or of the chosen groups: what is below, and half the group's own."""
    beyond, before = (below[1:], below[:-1]) if groups is None else (below.take(groups + 1), below.take(groups))
    return np.asarray((beyond + before) * 0.5, dtype=np.float64)


def unbiased(weight: float) -> float:
    """1/√(m(m − 1)) in the place of 1/m, so that squares sum to the variance that DeLong et al. estimate."""
    return quotient(1.0, float(np.sqrt(weight * max(1.0, weight - 1))))


def quotient(above: float, beneath: float) -> float:
    return above / beneath if beneath > 0 else float("nan")
