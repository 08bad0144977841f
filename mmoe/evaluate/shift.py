"""How far two distributions have moved apart, from counts in the same bins."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = Sequence[int] | npt.NDArray[Any]
SHIFT_BINS = 20


def stability_index(before: Counts, after: Counts) -> float:
    """Population stability index Σ (q − p) ln(q / p) of two histograms of the same bins.

    Half a row is added to each bin, so that one which only one of them fills counts without being infinite.
    """
    p, q = ((np.asarray(counts) + 0.5) / (np.sum(counts) + 0.5 * len(counts)) for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())


def score_shift(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> float:
    """Stability index over bins of about equal size by `before`; both are sorted, and may differ in length."""
    if not len(before):
        return 0.0
    edges = np.unique(np.quantile(before.astype(np.float64), np.linspace(0, 1, SHIFT_BINS + 1)[1:-1]))
    ends = ([*np.searchsorted(side, edges, side="right"), len(side)] for side in (before, after))
    return stability_index(*(np.diff(each, prepend=0) for each in ends))
