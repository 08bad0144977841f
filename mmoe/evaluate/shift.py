"""How far two distributions have moved apart, from counts in the same bins."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = Sequence[int] | npt.NDArray[Any]


def stability_index(before: Counts, after: Counts) -> float:
    """Population stability index Σ (q − p) ln(q / p) of two histograms of the same bins.

    Half a row is added to each bin, so that one which only one of them fills counts without being infinite.
    """
    p, q = ((np.asarray(counts) + 0.5) / (np.sum(counts) + 0.5 * len(counts)) for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())
