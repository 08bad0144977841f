"""Metrics of one head on N examples. Labels are 0 or 1, scores are logits, weights positive; all are (N,) arrays
without NaN. Weights that are not given are 1.
"""

import numpy as np

from mmoe.errors import EvaluationError
from mmoe.evaluate.ranking import Cut, Floats, cut, probabilities, rank
from mmoe.evaluate.ties import Doubles
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


def whole(labels: Floats, scores: Floats, weights: Floats | None = None) -> Cut:
    """All rows as one slice."""
    return cut(rank(scores, labels, weights, np.arange(len(labels))), np.zeros(0, dtype=np.uint8), 1)


def roc_auc(labels: Floats, scores: Floats, weights: Floats | None = None) -> float:
    """P(score of a positive > score of a negative), ties counting half. Raises EvaluationError without both classes."""
    m, n = int((labels == 1).sum()), int((labels != 1).sum())
    if m == 0 or n == 0:
        raise EvaluationError(f"AUC needs both classes, but there are {m} positives and {n} negatives.")
    return whole(labels, scores, weights).slices[0].auc


def pr_auc(labels: Floats, scores: Floats, weights: Floats | None = None) -> float:
    """Average precision: sum over distinct thresholds of (recall gained) × precision."""
    return whole(labels, scores, weights).slices[0].average_precision


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
    promised, observed, mass, _ = bin_sums(whole(labels, logits, weights))
    return float(np.abs(promised - observed).sum() / mass.sum())


def calibration_curve(
    labels: Floats, logits: Floats, weights: Floats | None = None, bins: int = BINS
) -> tuple[Bin, ...]:
    """Bins of about equal weight, by predicted probability; equal scores share a bin."""
    if not len(labels):
        return ()
    found = (part[0] for part in bin_sums(whole(labels, logits, weights), bins))
    return tuple(
        Bin(predicted=float(p / m), observed=float(o / m), rows=int(n)) for p, o, m, n in zip(*found, strict=True) if n
    )


def bin_sums(found: Cut, bins: int = BINS) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Sums of (predicted, label, weight, 1) over each slice's calibration bins, (S, bins) each.

    Bins are of about equal weight. A tie belongs to the bin that its lowest weight falls in.
    """
    edges, sums = [], []
    for ties in found.slices:
        firsts = ties.edges(bins, ROUNDING)
        bounds = np.concatenate([[0], firsts, [len(ties.starts) - 1]])
        sums.append([np.diff(each.take(bounds)) for each in (ties.hits_below, ties.weight_below, ties.starts)])
        edges.append(ties.places(ties.starts.take(firsts), len(found.codes)))
    observed, mass, rows = np.array(sums, dtype=np.float64).transpose(1, 0, 2)
    return found.sums_between(found.ranking.promised, edges), observed, mass, rows
