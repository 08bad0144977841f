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
class Ranking:
    """The n rows of one head that count, by ascending score: sorted once, then cut into any segments."""

    rows: Codes
    """(n,) positions among the N rows."""
    scores: Floats
    """(n,)"""
    positive: Flags
    """(n,)"""
    weights: Doubles | None
    """(n,)"""

    @cached_property
    def tie(self) -> Codes:
        """(n,) how many distinct scores are lower or equal."""
        return np.cumsum(changes(self.scores), dtype=np.int32)

    @cached_property
    def probability(self) -> Doubles:
        """(n,) of logits."""
        return probabilities(self.scores)

    @cached_property
    def surprise(self) -> Doubles:
        """(n,) ln(1 + exp(−|logit|)): what both classes' cross-entropies have in common."""
        return np.asarray(np.log1p(np.exp(-np.abs(self.scores.astype(np.float64)))))


@dataclass(frozen=True, kw_only=True)
class Ties:
    """The T groups of equal scores, ascending within each segment, and the n rows in that order."""

    ranking: Ranking
    picks: Codes
    """(T,) place of each group's first row in the ranking."""
    rows: Codes
    """(n,) positions among the N rows."""
    positive: Flags
    """(n,)"""
    weights: Doubles | None
    """(n,)"""
    starts: Codes
    """(T,) where each group begins among the n rows."""
    bounds: Codes
    """(S + 1,) where each segment's groups begin and end among the T."""
    ends: Codes
    """(S + 1,) where each segment's rows begin and end among the n."""
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

    @cached_property
    def promises(self) -> Doubles:
        """(T,) weight × predicted probability."""
        return self.ranking.probability[self.picks] * (self.positives + self.negatives)

    @cached_property
    def counts(self) -> tuple[Codes, Codes]:
        """(S,) rows and positive rows of each segment."""
        hits = np.append(0, np.cumsum(self.positive, dtype=np.int64))
        return np.diff(self.ends), np.diff(hits[self.ends])


def gather_ties(
    scores: Floats, labels: Floats, weights: Floats | None, rows: Codes, codes: Codes, segments: int
) -> Ties:
    """The ties of the given rows (n,); other arrays are (N,), codes run from 0 to S − 1, weights None means 1 each."""
    return cut(rank(scores, labels, weights, rows), codes, segments)


def rank(scores: Floats, labels: Floats, weights: Floats | None, rows: Codes) -> Ranking:
    """The given rows (n,) by score; other arrays are (N,), weights None means 1 each."""
    score = scores[rows]
    by_score = stable_order(sortable(score)) if score.dtype == np.float32 else np.argsort(score, kind="stable")
    ranked = rows[by_score]
    return Ranking(
        rows=ranked, scores=score[by_score], positive=labels[ranked] == 1,
        weights=None if weights is None else weights[ranked].astype(np.float64),
    )  # fmt: skip


def stable_order(keys: Codes) -> Codes:
    """(n,) positions that sort keys (n,) from 0 on, equal keys in their order.

    Where they fit, key and position are sorted as one 64-bit number, many times faster than by index.
    """
    bits = len(keys).bit_length()
    if int(keys.max(initial=0)).bit_length() + bits > 64:
        return np.argsort(keys, kind="stable")
    packed = keys.astype(np.uint64) << np.uint64(bits)
    packed |= np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    return (packed & np.uint64((1 << bits) - 1)).astype(np.int64)


def cut(ranking: Ranking, codes: Codes, segments: int) -> Ties:
    """The ranking's ties in each segment; codes (N,) run from 0 to S − 1. A stable partition keeps the order."""
    parts, ends = partition(codes[ranking.rows], segments)
    first = changes(ranking.tie[parts])
    first[ends[:-1][ends[:-1] < ends[1:]]] = True
    starts = np.flatnonzero(first)
    positive, weights = ranking.positive[parts], None if ranking.weights is None else ranking.weights[parts]
    up, down = tie_weights(positive, starts, weights)
    return Ties(
        ranking=ranking, picks=starts if isinstance(parts, slice) else parts[starts], rows=ranking.rows[parts],
        positive=positive, weights=weights, starts=starts, bounds=np.searchsorted(starts, ends), ends=ends,
        positives=up, negatives=down,
    )  # fmt: skip


def partition(codes: Codes, segments: int) -> tuple[Codes | slice, Codes]:
    """What brings codes (n,) into the order of segments and keeps the order inside each, and where each begins and
    ends (S + 1,).
    """
    ends = np.append(0, np.cumsum(np.bincount(codes, minlength=segments)))
    return slice(None) if segments == 1 else np.argsort(codes, kind="stable"), ends


def tie_weights(positive: Flags, starts: Codes, weights: Doubles | None) -> tuple[Doubles, Doubles]:
    """(T,) weight of the positive and of the negative rows of each group."""
    if weights is None:
        hits = np.diff(np.append(0, np.cumsum(positive, dtype=np.int64))[np.append(starts, len(positive))])
        return hits.astype(np.float64), np.diff(starts, append=len(positive)) - hits.astype(np.float64)
    if not len(starts):
        return np.zeros(0), np.zeros(0)
    return np.add.reduceat(weights * positive, starts), np.add.reduceat(weights * ~positive, starts)


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


def influences(ties: Ties, size: int) -> Doubles:
    """(N,) each row's influence on its segment's AUC, 0 for rows that do not count: see mmoe.evaluate.statistics."""
    found = np.zeros(size)
    add_influences(found, ties, np.ones(len(ties.hits)))
    return found


def add_influences(found: Doubles, ties: Ties, scale: Doubles) -> None:
    """Add each row's influence on its segment's AUC, times the segment's scale (S,), to found (N,)."""
    aucs, hit, miss = np.nan_to_num(roc_aucs(ties)), unbiased(ties.hits), unbiased(ties.misses)
    above = line(ties.negatives_below, ratio(hit, ties.misses), -aucs * hit, scale, ties.bounds)
    beneath = line(ties.positives_below, -ratio(miss, ties.hits), (1 - aucs) * miss, scale, ties.bounds)
    if len(ties.starts) < len(ties.rows):
        counts = np.diff(ties.starts, append=len(ties.rows))
        above, beneath = np.repeat(above, counts), np.repeat(beneath, counts)
    moved = np.where(ties.positive, above, beneath)
    found[ties.rows] += moved if ties.weights is None else moved * ties.weights


def line(values: Doubles, slope: Doubles, level: Doubles, scale: Doubles, bounds: Codes) -> Doubles:
    """(T,) -> (T,) (slope × value + level) × scale, which are (S,)."""
    found = values * spread(np.nan_to_num(slope * scale), bounds)
    found += spread(np.nan_to_num(level * scale), bounds)
    return found


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


def probabilities(logits: Floats) -> Doubles:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))
