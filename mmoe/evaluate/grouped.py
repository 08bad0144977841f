"""Grouped AUC: how well a model ranks inside each user or request (Zhu et al. 2017, eq. 1)."""

from dataclasses import dataclass

import numpy as np

from mmoe.evaluate.ranking import Ranking, changes, partition, ratio
from mmoe.evaluate.ties import Codes, Doubles, Flags, Ties, gather, running


@dataclass(frozen=True, kw_only=True)
class GroupRanking:
    """The m rows of groups that have both classes, by group and then by ascending score."""

    rows: Codes
    """(m,) positions among the N rows."""
    group: Codes
    """(m,)"""
    tie: Codes
    """(m,) equal where scores are."""
    positive: Flags
    """(m,)"""
    weights: Doubles | None
    """(m,)"""


def rank_in_groups(ranking: Ranking, groups: Codes) -> GroupRanking:
    """groups: (n,) codes of the ranked rows, from 0 on. A group of one class has no AUC, on no slice either."""
    everything = np.bincount(groups)
    hits = np.bincount(groups[ranking.positive], minlength=len(everything))
    useful = np.flatnonzero(((hits > 0) & (hits < everything)).take(groups))
    packed: Codes = ranking.tie.take(useful).astype(np.int64) << 32
    packed |= ranking.rows.take(useful) << 1
    packed |= ranking.positive.take(useful)
    packed, order, counts = counting_sort(packed, groups.take(useful), len(everything))
    return GroupRanking(
        rows=(packed & 0xFFFFFFFF) >> 1, group=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        tie=(packed >> 32).astype(np.int32), positive=(packed & 1).astype(bool),
        weights=None if ranking.weights is None else ranking.weights.take(useful.take(order)),
    )  # fmt: skip


def counting_sort(values: Codes, codes: Codes, size: int) -> tuple[Codes, Codes, Codes]:
    """(n,) values by code, where they were, and (size,) how many are of each; those of one code stay in their order.

    SciPy does just that when it turns a sparse matrix of one entry a row: thrice as fast as sorting.
    """
    from scipy.sparse import csr_array

    rows = csr_array((values, codes.astype(np.int32), np.arange(len(codes) + 1, dtype=np.int32)), (len(codes), size))
    turned = rows.tocsc()
    return turned.data, turned.indices, np.diff(turned.indptr)


def grouped_aucs(ranking: GroupRanking, slices: Codes, count: int) -> tuple[Doubles, Codes]:
    """(count,) mean AUC over the groups of each slice that have both classes, by weight, and how many those are.

    slices: (N,) codes from 0 to count − 1. NaN where no group of a slice has both classes.
    """
    weighted, mass, counted = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64)
    codes = slices.take(ranking.rows) if count > 1 else np.zeros(0, dtype=np.uint8)
    for index, place in enumerate(partition(codes, count)):
        aucs, masses = aucs_in_groups(ranking, place)
        weighted[index], mass[index], counted[index] = aucs @ masses, masses.sum(), len(aucs)
    return ratio(weighted, mass), counted


def aucs_in_groups(ranking: GroupRanking, place: Codes | slice) -> tuple[Doubles, Doubles]:
    """AUC and weight of each group that has both classes among the rows of one slice."""
    group, positive, tie = ranking.group[place], ranking.positive[place], ranking.tie[place]
    weights = None if ranking.weights is None else ranking.weights[place]
    counts = np.diff(np.flatnonzero(changes(group)), append=len(group))
    hits = np.diff(running(positive, np.int32).take(np.append(0, np.cumsum(counts))))
    kept = np.flatnonzero(np.repeat((hits > 0) & (hits < counts), counts))
    if not len(kept):
        return np.zeros(0), np.zeros(0)
    if len(kept) < len(group):
        group, positive, tie = group.take(kept), positive.take(kept), tie.take(kept)
        weights = None if weights is None else weights.take(kept)
    other = changes(group)
    return aucs_between(gather(place, positive, other | changes(tie), weights), np.flatnonzero(other))


def aucs_between(ties: Ties, begins: Codes) -> tuple[Doubles, Doubles]:
    """AUC and weight of the rows from each of (C,) places to the next; all have both classes."""
    bounds = np.append(np.searchsorted(ties.starts, begins), len(ties.starts) - 1)
    hits, mass = (np.diff(each.take(bounds)).astype(np.float64) for each in (ties.hits_below, ties.weight_below))
    misses_before = ties.weight_below.take(bounds[:-1]) - ties.hits_below.take(bounds[:-1]).astype(np.float64)
    firsts = np.searchsorted(ties.held, bounds[:-1])
    wins = np.add.reduceat(ties.gained * ties.misses_below_held, firsts) - hits * misses_before
    return wins / (hits * (mass - hits)), mass
