"""Grouped AUC: how well a model ranks inside each user or request (Zhu et al. 2017, eq. 1)."""

from dataclasses import dataclass

import numpy as np

from mmoe.evaluate.ranking import (
    Codes,
    Doubles,
    Flags,
    Ranking,
    below,
    changes,
    partition,
    ratio,
    stable_order,
    sums_by,
    tie_weights,
    totals,
)


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
    """groups: (N,) codes from 0 on. A group of one class has no AUC, on no slice either."""
    mine = groups[ranking.rows]
    everything = np.bincount(mine)
    hits = np.bincount(mine[ranking.positive], minlength=len(everything))
    useful = np.flatnonzero(((hits > 0) & (hits < everything))[mine])
    order = useful[stable_order(mine[useful])]
    return GroupRanking(
        rows=ranking.rows[order], group=mine[order], tie=ranking.tie[order], positive=ranking.positive[order],
        weights=None if ranking.weights is None else ranking.weights[order],
    )  # fmt: skip


def grouped_aucs(ranking: GroupRanking, slices: Codes, count: int) -> tuple[Doubles, Codes]:
    """(count,) mean AUC over the groups of each slice that have both classes, by weight, and how many those are.

    slices: (N,) codes from 0 to count − 1. NaN where no group of a slice has both classes.
    """
    codes = slices[ranking.rows]
    parts, ends = partition(codes, count)
    other = changes(ranking.group[parts])
    other[ends[:-1][ends[:-1] < ends[1:]]] = True
    starts = np.flatnonzero(other | changes(ranking.tie[parts]))
    bounds = np.append(np.flatnonzero(other[starts]), len(starts))
    up, down = tie_weights(ranking.positive[parts], starts, None if ranking.weights is None else ranking.weights[parts])
    wins, hits, misses = (totals(part, bounds) for part in (up * below(down, bounds), up, down))
    both = np.flatnonzero((hits > 0) & (misses > 0))
    pairs, mass = hits[both] * misses[both], hits[both] + misses[both]
    slice_of = np.searchsorted(ends, starts[bounds[:-1]][both], side="right") - 1
    counted = np.bincount(slice_of, minlength=count)
    found = ratio(sums_by(slice_of, wins[both] / pairs * mass, count), sums_by(slice_of, mass, count))
    return found, counted
