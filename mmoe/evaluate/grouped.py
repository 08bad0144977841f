"""Grouped AUC: how well a model ranks inside each user or request (Zhu et al. 2017, eq. 1)."""

import numpy as np

from mmoe.evaluate.ranking import Codes, Doubles, Flags, Floats, changes, ratio, sortable, sums_by, tie_weights, totals
from mmoe.evaluate.ranking import below as ranked_below


def grouped_aucs(
    scores: Floats, labels: Floats, weights: Floats | None, rows: Codes, slices: Codes, groups: Codes, count: int
) -> tuple[Doubles, Codes]:
    """(count,) mean AUC over the groups of each slice that have both classes, by weight, and how many those are.

    Arrays are (N,) and `rows` (n,) says which count; slices run from 0 to count − 1, groups from 0 on. NaN where no
    group of a slice has both classes.
    """
    size = int(groups.max(initial=0)) + 1
    keys = slices[rows].astype(np.int64) * size + groups[rows]
    positive = labels[rows] == 1
    hits, everything = (np.bincount(chosen, minlength=count * size) for chosen in (keys[positive], keys))
    useful = ((hits > 0) & (hits < everything))[keys]
    if not useful.any():
        return np.full(count, np.nan), np.zeros(count, dtype=np.int64)
    weight = None if weights is None else weights[rows][useful]
    found, up, down = group_wins(scores[rows][useful], positive[useful], weight, keys[useful])
    aucs, mass = found[1] / (up * down), up + down
    slice_of = found[0] // size
    counted = np.bincount(slice_of, minlength=count)
    return ratio(sums_by(slice_of, aucs * mass, count), sums_by(slice_of, mass, count)), counted


def group_wins(
    scores: Floats, positive: Flags, weights: Floats | None, keys: Codes
) -> tuple[tuple[Codes, Doubles], Doubles, Doubles]:
    """(names of groups, pairs that each ranks right), and the weight of each group's positives and negatives."""
    if weights is None and scores.dtype == np.float32 and int(keys.max()) < 1 << 31:
        packed = keys.astype(np.uint64) << np.uint64(33)
        packed |= sortable(scores) << np.uint64(1)
        packed |= positive
        packed.sort()
        positive = (packed & np.uint64(1)).astype(bool)
        packed >>= np.uint64(1)
        starts = np.flatnonzero(changes(packed))
        segment: Codes = (packed[starts] >> np.uint64(32)).astype(np.int64)
    else:
        order = np.lexsort((scores, keys))
        positive, keys, scores = positive[order], keys[order], scores[order]
        weights = None if weights is None else weights[order]
        starts = np.flatnonzero(changes(keys) | changes(scores))
        segment = keys[starts]
    firsts = np.flatnonzero(changes(segment))
    bounds = np.append(firsts, len(starts))
    up, down = tie_weights(positive, starts, weights)
    wins = totals(up * ranked_below(down, bounds), bounds)
    return (segment[firsts], wins), totals(up, bounds), totals(down, bounds)
