"""Rows in score order, cut into slices, with equal scores gathered.

N rows, of which n count (their label is final), S slices. Labels are 0 or 1, weights positive, scores logits.
Every row is sorted once a head; a slice column is a stable partition of that order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mmoe.evaluate.ties import Codes, Doubles, Flags, Ties, gather

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The n rows of one head that count, by ascending score: sorted once, then cut into any slices."""

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
    def promised(self) -> Doubles:
        """(n,) weight × predicted probability."""
        return self.weighted(probabilities(self.scores))

    @cached_property
    def loss(self) -> Doubles:
        """(n,) weight × cross-entropy: that of a positive is ln(1 + e^−|x|) + max(−x, 0)."""
        against = self.scores.astype(np.float64)
        np.negative(against, out=against, where=self.positive)
        found = np.abs(against)
        np.log1p(np.exp(np.negative(found, out=found), out=found), out=found)
        found += np.maximum(against, 0, out=against)
        return self.weighted(found)

    def weighted(self, values: Doubles | Flags) -> npt.NDArray[Any]:
        return values if self.weights is None else values * self.weights


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A ranking cut into S slices."""

    ranking: Ranking
    codes: Codes
    """(n,) each ranked row's slice, below S."""
    slices: tuple[Ties, ...]
    """(S,)"""

    @cached_property
    def hits(self) -> Doubles:
        """(S,) weight of the positives."""
        return np.array([ties.hits for ties in self.slices])

    @cached_property
    def misses(self) -> Doubles:
        return np.array([ties.misses for ties in self.slices])

    def sums(self, values: Doubles) -> Doubles:
        """(n,) values of ranked rows -> (S,)."""
        if len(self.slices) == 1:
            return np.array([values.sum()])
        return sums_by(self.codes, values, len(self.slices))

    def sums_between(self, values: Doubles, edges: Sequence[Codes]) -> Doubles:
        """(n,) values of ranked rows -> (S, E + 1) sums of each slice's rows between edges (S, E), which are places
        in the ranking.

        Between two edges of whatever slices no row changes its bin, so that runs of the ranking are summed by slice.
        """
        size, bins = len(self.slices), len(edges[0]) + 1
        found = np.zeros((size, bins))
        places = np.concatenate(edges)
        order = np.argsort(places, kind="stable")
        bin_of, every, start = np.zeros(size, dtype=np.int64), np.arange(size), 0
        for edge in [*order.tolist(), None]:
            end = len(values) if edge is None else int(places[edge])
            if end > start:
                found[every, bin_of] += sums_by(self.codes[start:end], values[start:end], size)
                start = end
            if edge is not None:
                bin_of[edge // (bins - 1)] += 1
        return found


def rank(scores: Floats, labels: Floats, weights: Floats | None, rows: Codes) -> Ranking:
    """The given rows (n,), ascending, by score; other arrays are (N,), weights None means 1 each."""
    _, ranked, positive = in_order(sortable(scores[rows]), rows, labels[rows] == 1)
    return Ranking(
        rows=ranked, scores=scores.take(ranked), positive=positive,
        weights=None if weights is None else weights.take(ranked).astype(np.float64),
    )  # fmt: skip


def in_order(keys: npt.NDArray[np.uint64], places: Codes, marks: Flags) -> tuple[npt.NDArray[np.uint64], Codes, Flags]:
    """(n,) keys, places and marks by key; equal keys by place. Places ascend from 0 or above.

    Where they fit, all three are sorted as one 64-bit number, many times faster than by index.
    """
    bits = int(places[-1]).bit_length() if len(places) else 0
    if int(keys.max(initial=0)).bit_length() + bits + 1 > 64:
        order = np.argsort(keys, kind="stable")
        return keys.take(order), places.take(order), marks.take(order)
    packed = keys << np.uint64(bits + 1)
    packed |= places.astype(np.uint64) << np.uint64(1)
    packed |= marks
    packed.sort()
    marked = (packed & np.uint64(1)).astype(bool)
    packed >>= np.uint64(1)
    return np.right_shift(packed, bits), np.bitwise_and(packed, (1 << bits) - 1).astype(np.int64), marked


def sortable(scores: Floats) -> npt.NDArray[np.uint64]:
    """(n,) float32 or float64 -> (n,) numbers in the same order, below 2³² for float32; −0 and 0 are equal."""
    bits = 8 * scores.dtype.itemsize
    kind = np.dtype(f"u{scores.dtype.itemsize}").type
    raw = (scores + scores.dtype.type(0)).view(kind)
    raw ^= np.where(raw >> kind(bits - 1), ~kind(0), kind(1 << (bits - 1)))
    return np.asarray(raw, dtype=np.uint64)


def cut(ranking: Ranking, codes: Codes, size: int) -> Cut:
    """The ranking in slices; codes (N,) run from 0 to S − 1."""
    mine = np.broadcast_to(np.uint8(0), len(ranking.rows)) if size == 1 else codes.take(ranking.rows)
    return Cut(
        ranking=ranking,
        codes=mine,
        slices=tuple(ties_at(ranking, place) for place in partition(mine, size)),
    )  # fmt: skip


def ties_at(ranking: Ranking, place: Codes | slice) -> Ties:
    weights = None if ranking.weights is None else ranking.weights[place]
    return gather(place, ranking.positive[place], changes(ranking.tie[place]), weights)


def partition(codes: Codes, size: int) -> Sequence[Codes | slice]:
    """The places of each slice in (n,) codes, ascending."""
    if size == 1:
        return [slice(None)]
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.searchsorted(codes.take(order), np.arange(1, size)))


def changes(values: npt.NDArray[Any]) -> Flags:
    """(n,) whether a value differs from the one before it; the first does."""
    first = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first


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
