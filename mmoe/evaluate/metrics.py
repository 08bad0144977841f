"""Metrics of one head on N examples. Labels are 0 or 1, scores are logits, weights positive; all are (N,) arrays
without NaN. Weights that are not given are 1.
"""

import numpy as np

from mmoe.errors import EvaluationError
from mmoe.evaluate.ranking import (
    Doubles,
    Floats,
    Ties,
    average_precisions,
    gather_ties,
    probabilities,
    roc_aucs,
    totals,
)
from mmoe.parsing import Frozen

BINS = 10
ROUNDING = 1e-9
"""Of the share of weight at which a bin begins."""


class HeadMetrics(Frozen):
    """One head on one slice; None where positives or negatives are missing."""

    head: str
    slice_by: str | None = None
    """Slice column; None: all rows."""
    slice: str | None = None
    rows: int
    positives: int
    auc: float | None
    grouped_auc: float | None = None
    """Mean AUC inside each user or request that has both classes, by its rows' weight."""
    groups: int | None = None
    """How many those are."""
    pr_auc: float | None
    log_loss: float | None
    normalised_entropy: float | None
    """Log loss over that of the constant observed rate (He et al. 2014); 1 is what knowing only the rate gives."""
    calibration: float | None
    """Mean predicted probability over observed rate; 1 is calibrated."""
    calibration_error: float | None = None
    """Expected calibration error: mean distance of predicted from observed rate over ten bins of equal weight."""


class Bin(Frozen):
    """One bin of a calibration curve."""

    predicted: float
    observed: float
    rows: int


def ties_of(labels: Floats, scores: Floats, weights: Floats | None = None) -> Ties:
    """All rows as one segment."""
    rows = np.arange(len(labels))
    return gather_ties(scores, labels, weights, rows, np.zeros(len(labels), dtype=np.uint8), 1)


def roc_auc(labels: Floats, scores: Floats, weights: Floats | None = None) -> float:
    """P(score of a positive > score of a negative), ties counting half. Raises EvaluationError without both classes."""
    m, n = int((labels == 1).sum()), int((labels != 1).sum())
    if m == 0 or n == 0:
        raise EvaluationError(f"AUC needs both classes, but there are {m} positives and {n} negatives.")
    return float(roc_aucs(ties_of(labels, scores, weights))[0])


def pr_auc(labels: Floats, scores: Floats, weights: Floats | None = None) -> float:
    """Average precision: sum over distinct thresholds of (recall gained) × precision."""
    return float(average_precisions(ties_of(labels, scores, weights))[0])


def log_loss(labels: Floats, logits: Floats, weights: Floats | None = None) -> float:
    """Mean cross-entropy in nats, from logits, without overflow."""
    return float(np.average(losses(labels, logits), weights=weights))


def losses(labels: Floats, logits: Floats) -> Doubles:
    """(N,) cross-entropy of each row."""
    x = logits.astype(np.float64)
    found = np.log1p(np.exp(-np.abs(x)))
    found += np.maximum(x, 0)
    found -= labels * x
    return found


def entropy(rate: Doubles) -> Doubles:
    """Log loss of knowing only the rate, in nats; `rate` lies between 0 and 1."""
    return -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))


def normalised_entropy(labels: Floats, logits: Floats, weights: Floats | None = None) -> float:
    rate = np.array([np.average(labels.astype(np.float64), weights=weights)])
    return log_loss(labels, logits, weights) / float(entropy(rate)[0])


def calibration_ratio(labels: Floats, logits: Floats, weights: Floats | None = None) -> float:
    predicted, observed = (
        np.average(values, weights=weights) for values in (probabilities(logits), labels.astype(np.float64))
    )
    return float(predicted / observed)


def calibration_error(labels: Floats, logits: Floats, weights: Floats | None = None) -> float:
    """Expected calibration error: mean |predicted − observed rate| over bins of about equal weight by score."""
    promised, observed, mass, _ = bin_sums(ties_of(labels, logits, weights))
    return float(np.abs(promised - observed).sum() / mass.sum())


def calibration_curve(
    labels: Floats, logits: Floats, weights: Floats | None = None, bins: int = BINS
) -> tuple[Bin, ...]:
    """Bins of about equal weight, by predicted probability; equal scores share a bin."""
    if not len(labels):
        return ()
    ties = ties_of(labels, logits, weights)
    predicted, observed, mass, rows = bin_sums(ties, bins)
    return tuple(
        Bin(predicted=float(p / m), observed=float(o / m), rows=int(n))
        for p, o, m, n in zip(predicted, observed, mass, rows, strict=True)
        if n
    )


def bin_sums(ties: Ties, bins: int = BINS) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Sums of (predicted, label, weight, 1) over each segment's calibration bins, (S × bins,) each.

    A tie belongs to the bin that its lowest weight falls in.
    """
    mass = ties.positives + ties.negatives
    before = ties.positives_below + ties.negatives_below - mass / 2
    edges = (np.arange(1, bins) - ROUNDING) / bins
    cuts = [0]
    for low, high, weight in zip(ties.bounds[:-1], ties.bounds[1:], ties.hits + ties.misses, strict=True):
        cuts += [*(low + np.searchsorted(before[low:high], edges * weight)), high]
    bounds = np.array(cuts)
    rows = np.diff(np.append(ties.starts, len(ties.rows))[bounds])
    promised, observed, weights = (totals(part, bounds) for part in (ties.promises, ties.positives, mass))
    return promised, observed, weights, rows.astype(np.float64)
