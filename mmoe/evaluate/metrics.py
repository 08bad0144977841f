"""Metrics of one head on N examples. Labels are 0 or 1, scores are logits; both are (N,) arrays without NaN."""

from typing import Any

import numpy as np
import numpy.typing as npt

from mmoe.errors import EvaluationError
from mmoe.parsing import Frozen

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]


class HeadMetrics(Frozen):
    """One head on one slice; None where positives or negatives are missing."""

    head: str
    view_type: str | None
    """None: all view types."""
    rows: int
    positives: int
    auc: float | None
    pr_auc: float | None
    log_loss: float | None
    normalised_entropy: float | None
    """Log loss over that of the constant observed rate (He et al. 2014); 1 is what knowing only the rate gives."""
    calibration: float | None
    """Mean predicted probability over observed rate; 1 is calibrated."""


class Bin(Frozen):
    """One bin of a calibration curve."""

    predicted: float
    observed: float
    rows: int


def midranks(scores: Floats) -> Doubles:
    """(N,) ranks from 1 on, equal scores sharing their mean rank."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Doubles = ends - (counts - 1) / 2
    return means[inverse]


def roc_auc(labels: Floats, scores: Floats) -> float:
    """P(score of a positive > score of a negative), ties counting half. Raises EvaluationError without both classes."""
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        raise EvaluationError(f"AUC needs both classes, but there are {m} positives and {n} negatives.")
    return float((midranks(scores)[positive].sum() - m * (m + 1) / 2) / (m * n))


def pr_auc(labels: Floats, scores: Floats) -> float:
    """Average precision: sum over distinct thresholds of (recall gained) × precision."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    hits, seen = hits[last_of_tie], (np.flatnonzero(last_of_tie) + 1)
    gained = np.diff(hits, prepend=0.0)
    return float((gained * hits / seen).sum() / hits[-1])


def log_loss(labels: Floats, logits: Floats) -> float:
    """Mean cross-entropy in nats, from logits, without overflow."""
    x = logits.astype(np.float64)
    return float(np.mean(np.logaddexp(0, x) - labels * x))


def normalised_entropy(labels: Floats, logits: Floats) -> float:
    rate = float(labels.mean())
    return log_loss(labels, logits) / float(-(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)))


def calibration_ratio(labels: Floats, logits: Floats) -> float:
    return float(probabilities(logits).mean() / labels.mean())


def probabilities(logits: Floats) -> Doubles:
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))


def calibration_curve(labels: Floats, logits: Floats, bins: int = 10) -> tuple[Bin, ...]:
    """Bins of about equal size, by predicted probability."""
    order = np.argsort(logits, kind="stable")
    predicted = probabilities(logits)
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    return tuple(
        Bin(predicted=float(predicted[part].mean()), observed=float(labels[part].mean()), rows=len(part))
        for part in parts
    )


def head_metrics(head: str, view_type: str | None, labels: Floats, logits: Floats) -> HeadMetrics:
    """All metrics of a head on a slice. Rows whose label is NaN (not final) do not count."""
    final = ~np.isnan(labels)
    known, scored = labels[final], logits[final]
    rows, positives = len(known), int(known.sum())
    usable = 0 < positives < rows
    return HeadMetrics(
        head=head,
        view_type=view_type,
        rows=rows,
        positives=positives,
        auc=roc_auc(known, scored) if usable else None,
        pr_auc=pr_auc(known, scored) if usable else None,
        log_loss=log_loss(known, scored) if usable else None,
        normalised_entropy=normalised_entropy(known, scored) if usable else None,
        calibration=calibration_ratio(known, scored) if usable else None,
    )
