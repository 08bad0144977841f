"""A feature's counts beside those of the days before, in bins that are fixed on those days: what PSI is taken of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mmoe.lake.profile import DayProfile, Histogram, merged
from mmoe.quality.profiling import HASH_BINS, Bins
from mmoe.schema import Schema

ENOUGH_ROWS = 500
"""With fewer rows, on either side, sampling alone moves PSI."""
QUANTILES = 10
LARGEST = 20
"""At most so many hash bins stand for themselves, each with a share of OWN_BIN or more; the others are the tail."""
OWN_BIN = 0.01
TAIL_PART = 0.05
"""The tail is cut into parts of about this share: values that come and go inside one do not count as drift."""


Groups = Callable[[Bins], Bins]
"""(N,) bins -> (N,) the groups that they belong to, counted from 0."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Counts of a feature in the same bins; the last one is of missing values."""

    observed: tuple[int, ...]
    reference: tuple[int, ...]


def compare(
    schema: Schema, today: DayProfile, before: Sequence[DayProfile], view_type: str | None
) -> dict[str, Comparison]:
    """Every feature's counts beside those of the days before; empty where there are too few rows to compare."""
    now = today.of(view_type)
    earlier = [each for profile in before if (each := profile.of(view_type)) is not None]
    if now is None or now.rows < ENOUGH_ROWS or sum(each.rows for each in earlier) < ENOUGH_ROWS:
        return {}
    found = {}
    for name, histogram in now.features.items():
        reference = merged(each.features[name] for each in earlier)
        groups = quantile_groups(reference) if name in schema.features.numeric else hash_groups(reference)
        own, other = _grouped(histogram, groups), _grouped(reference, groups)
        size = max(len(own), len(other))
        observed, expected = (np.pad(each, (0, size - len(each))) for each in (own, other))
        found[name] = Comparison(
            observed=(*observed.tolist(), histogram.missing), reference=(*expected.tolist(), reference.missing)
        )
    return found


def quantile_groups(reference: Histogram) -> Groups:
    """About QUANTILES groups of neighbouring bins, each with as much of the reference."""
    if not reference.bins:
        return lambda bins: np.zeros_like(bins)
    share = np.cumsum(reference.counts) / sum(reference.counts)
    last = np.searchsorted(share, np.arange(1, QUANTILES) / QUANTILES)
    edges = np.unique(np.asarray(reference.bins)[last])
    return lambda bins: np.searchsorted(edges, bins)


def hash_groups(reference: Histogram) -> Groups:
    """The largest bins of the reference alone, and the tail of all others in parts; an unseen value is in the tail."""
    total = sum(reference.counts) or 1
    shares = {number: count / total for number, count in zip(reference.bins, reference.counts, strict=True)}
    own = sorted((number for number in shares if shares[number] >= OWN_BIN), key=lambda number: -shares[number])
    own = own[:LARGEST]
    tail = 1 - sum(shares[number] for number in own)
    parts = max(1, round(tail / TAIL_PART))
    groups = np.arange(HASH_BINS) * parts // HASH_BINS
    groups[own] = parts + np.arange(len(own))
    return lambda bins: groups[bins]


def _grouped(histogram: Histogram, groups: Groups) -> Bins:
    if not histogram.bins:
        return np.zeros(0, np.int64)
    return np.bincount(groups(np.asarray(histogram.bins)), weights=histogram.counts).astype(np.int64)
