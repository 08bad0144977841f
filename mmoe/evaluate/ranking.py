"""Rows in score order, cut into segments (slices, users), with equal scores gathered: exact ranking metrics of all
segments at once.

N rows, of which n count (their label is final), S segments, T groups of rows that share segment and score. Labels are
0 or 1, weights positive, scores logits.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Ties:
    """The T groups of equal scores, ascending within each segment, and the n rows in that order."""

    rows: Codes
    """(n,) positions among the N rows."""
    positive: Flags
    """(n,)"""
    starts: Codes
    """(T,) where each group begins among the n rows."""
    bounds: Codes
    """(S + 1,) where each segment's groups begin and end among the T."""
    positives: Doubles
    """(T,) weight of positive rows."""
    negatives: Doubles

    @cached_property
    def positives_below(self) -> Doubles:
        """(T,) weight of the segment's positives of lower score, and half the group's own."""
        return below(self.positives, self.bounds)

    @cached_property
    def negatives_below(self) -> Doubles:
        return below(self.negatives, self.bounds)

    @cached_property
    def hits(self) -> Doubles:
        """(S,) weight of the segment's positives."""
        return totals(self.positives, self.bounds)

    @cached_property
    def misses(self) -> Doubles:
        return totals(self.negatives, self.bounds)


def gather_ties(
    scores: Floats, labels: Floats, weights: Floats | None, rows: Codes, codes: Codes, segments: int
) -> Ties:
    """The ties of the given rows (n,); other arrays are (N,), codes run from 0 to S − 1, weights None means 1 each.

    Where they fit, segment, score, label and position are sorted as one 64-bit number, many times faster than by index.
    """
    mine, score, positive = codes[rows], scores[rows], labels[rows] == 1
    bits = len(rows).bit_length()
    if scores.dtype == np.float32 and (segments - 1).bit_length() + 33 + bits <= 64:
        packed = (sortable(score) << np.uint64(1)) | positive
        packed <<= np.uint64(bits)
        packed |= np.arange(len(rows), dtype=np.uint64)
        packed |= mine.astype(np.uint64) << np.uint64(33 + bits)
        packed.sort()
        order = (packed & np.uint64((1 << bits) - 1)).astype(np.int64)
        packed >>= np.uint64(bits)
        positive = (packed & np.uint64(1)).astype(bool)
        packed >>= np.uint64(1)
        first = changes(packed)
    else:
        order = np.lexsort((score, mine))
        positive = positive[order]
        first = changes(score[order]) | changes(mine[order])
    starts = np.flatnonzero(first)
    ends = np.cumsum(np.bincount(mine, minlength=segments))
    up, down = tie_weights(positive, starts, None if weights is None else weights[rows][order])
    return Ties(
        rows=rows[order], positive=positive, starts=starts, bounds=np.searchsorted(starts, np.append(0, ends)),
        positives=up, negatives=down,
    )  # fmt: skip


def tie_weights(positive: Flags, starts: Codes, weights: Floats | None) -> tuple[Doubles, Doubles]:
    """(T,) weight of the positive and of the negative rows of each group."""
    if weights is None:
        hits = np.diff(np.append(0, np.cumsum(positive, dtype=np.int64))[np.append(starts, len(positive))])
        return hits.astype(np.float64), np.diff(starts, append=len(positive)) - hits.astype(np.float64)
    if not len(starts):
        return np.zeros(0), np.zeros(0)
    doubles = weights.astype(np.float64)
    return np.add.reduceat(doubles * positive, starts), np.add.reduceat(doubles * ~positive, starts)


def sortable(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """(n,) float32 -> (n,) numbers below 2³² in the same order; −0 and 0 are equal."""
    bits = (scores + np.float32(0)).view(np.uint32)
    flips = np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    return (bits ^ flips).astype(np.uint64)


def changes(values: npt.NDArray[Any]) -> Flags:
    """(n,) whether a value differs from the one before it; the first does."""
    first = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first


def totals(values: Doubles, bounds: Codes) -> Doubles:
    """(T,) -> (S,) sums over each segment's groups."""
    found = np.zeros(len(bounds) - 1)
    held = bounds[:-1] < bounds[1:]
    if held.any():
        found[held] = np.add.reduceat(values, bounds[:-1][held])
    return found


def below(values: Doubles, bounds: Codes) -> Doubles:
    """(T,) -> (T,) sums over the same segment's groups of lower score, and half the group's own."""
    ends = np.append(0.0, np.cumsum(values))
    found = values / -2
    found += ends[1:]
    found -= spread(ends[bounds[:-1]], bounds)
    return found


def spread(values: Doubles, bounds: Codes) -> Doubles:
    """(S,) -> (T,) each segment's value at its groups."""
    return np.repeat(values, np.diff(bounds))


def roc_aucs(ties: Ties) -> Doubles:
    """(S,) P(score of a positive > that of a negative) + ½ P(equal); NaN where a class is missing."""
    return ratio(totals(ties.positives * ties.negatives_below, ties.bounds), ties.hits * ties.misses)


def average_precisions(ties: Ties) -> Doubles:
    """(S,) sum over distinct thresholds of (recall gained) × precision; NaN without positives."""
    held = np.flatnonzero(ties.positives)
    segment = np.searchsorted(ties.bounds, held, side="right") - 1
    gained, lost = ties.positives[held], ties.negatives[held]
    above = ties.hits[segment] - ties.positives_below[held] + gained / 2
    wrong = ties.misses[segment] - ties.negatives_below[held] + lost / 2
    return ratio(sums_by(segment, gained * above / (above + wrong), len(ties.hits)), ties.hits)


def influences(ties: Ties, weights: Floats | None, size: int) -> Doubles:
    """(N,) each row's influence on its segment's AUC, 0 for rows that do not count: see mmoe.evaluate.statistics."""
    aucs = np.nan_to_num(roc_aucs(ties))
    above = ties.negatives_below * spread(ratio(unbiased(ties.hits), ties.misses), ties.bounds)
    above -= spread(aucs * unbiased(ties.hits), ties.bounds)
    beneath = ties.positives_below * spread(-ratio(unbiased(ties.misses), ties.hits), ties.bounds)
    beneath += spread((1 - aucs) * unbiased(ties.misses), ties.bounds)
    if len(ties.starts) < len(ties.rows):
        counts = np.diff(ties.starts, append=len(ties.rows))
        above, beneath = np.repeat(above, counts), np.repeat(beneath, counts)
    found = np.zeros(size)
    found[ties.rows] = np.where(ties.positive, above, beneath)
    return found if weights is None else found * weights


def unbiased(weight: Doubles) -> Doubles:
    """1/√(m(m − 1)) in the place of 1/m, so that squares sum to the variance that DeLong et al. estimate."""
    return np.nan_to_num(ratio(np.ones(len(weight)), np.sqrt(weight * np.maximum(1, weight - 1))))


def sums_by(codes: Codes, values: npt.NDArray[Any], size: int) -> Doubles:
    """(size,) sums of values by code."""
    return np.asarray(np.bincount(codes, weights=values, minlength=size), dtype=np.float64)


def ratio(above: Doubles, beneath: Doubles) -> Doubles:
    found = np.full(len(above), np.nan)
    np.divide(above, beneath, out=found, where=beneath > 0)
    return found
