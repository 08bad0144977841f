"""How far two distributions have moved apart, from counts in the same bins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmoe.evaluate.ranking import Floats, probabilities

Counts = Sequence[int] | npt.NDArray[Any]
SHIFT_BINS = 20


def stability_index(before: Counts, after: Counts) -> float:
    """Population stability index Σ (q − p) ln(q / p) of two histograms of the same bins.

    Half a row is added to each bin, so that one which only one of them fills counts without being infinite.
    """
    p, q = ((np.asarray(counts) + 0.5) / (np.sum(counts) + 0.5 * len(counts)) for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())


@dataclass(frozen=True, kw_only=True)
class ScoreShift:
    """How far the challenger's scores are from the champion's, as stability indices."""

    whole: float
    """From the scores as they are."""
    corrected: float
    """From the champion's where its probabilities are corrected to the observed rate."""

    @property
    def unexplained(self) -> float:
        """What a correction of the champion does not explain. The level of the scores is judged as calibration: without
        this a challenger would be blamed for a champion that promises more, or less, than happens.
        """
        return min(self.whole, self.corrected)


def score_shift(before: Floats, after: Floats, observed: float = 1.0) -> ScoreShift:
    """Of logits in bins of about equal size by `before`; both are sorted, and may differ in length.

    observed: rate over the one that `before` predicts.
    """
    if not len(before):
        return ScoreShift(whole=0.0, corrected=0.0)
    edges = np.unique(np.quantile(before.astype(np.float64), np.linspace(0, 1, SHIFT_BINS + 1)[1:-1]))
    bins = counted(before, edges)
    return ScoreShift(
        whole=stability_index(bins, counted(after, edges)),
        corrected=stability_index(bins, counted(after, corrected(edges, observed))),
    )


def counted(values: Floats, edges: Floats) -> Counts:
    """(E + 1,) sorted values between edges (E,)."""
    return np.diff([*np.searchsorted(values, edges, side="right"), len(values)], prepend=0)


def corrected(logits: Floats, observed: float) -> Floats:
    """The logits of `observed` times their probabilities, which end at 1."""
    promised = np.minimum(observed * probabilities(logits), 1.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(promised) - np.log1p(-promised))
