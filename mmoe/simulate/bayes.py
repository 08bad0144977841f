"""How well the truth itself ranks: the AUC that no model can beat in expectation."""

import numpy as np
from numpy.typing import NDArray

from mmoe.simulate.world import Floats


def roc_auc(score: Floats, label: NDArray[np.int8]) -> float | None:
    """Exact area under the ROC curve, ties counted half; None without both a positive and a negative."""
    positives = int(label.sum())
    negatives = len(label) - positives
    if positives == 0 or negatives == 0:
        return None
    distinct, place = np.unique(score, return_inverse=True)
    rows = np.bincount(place, minlength=len(distinct))
    middle_rank = np.cumsum(rows) - (rows - 1) / 2
    rank_sum = float(middle_rank[place[label == 1]].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)
