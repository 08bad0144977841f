"""All metrics of a score set: per head, on all rows and on each slice, a slice column at a time."""

from collections.abc import Iterator, Sequence

import numpy as np

from mmoe.data.score_set import ScoreSet, Slicing
from mmoe.evaluate.grouped import grouped_aucs
from mmoe.evaluate.metrics import BINS, HeadMetrics, bin_sums, entropy, losses, probabilities
from mmoe.evaluate.ranking import Doubles, Ties, average_precisions, gather_ties, ratio, roc_aucs, sums_by


def all_metrics(scores: ScoreSet, slices: Sequence[str] | None = None) -> list[HeadMetrics]:
    """Per head, over all rows and on each slice of the given columns (None: every column of the score set)."""
    found = []
    for head in scores.heads:
        for name, slicing in slicings(scores, slices):
            rows = scores.final(head)
            ties = gather_ties(
                scores.logits[head], scores.labels[head], scores.weights.get(head), rows, slicing.codes,
                len(slicing.names),
            )  # fmt: skip
            found += measure(scores, head, name, slicing, ties)
    return found


def slicings(scores: ScoreSet, names: Sequence[str] | None = None) -> Iterator[tuple[str | None, Slicing]]:
    """All rows as one slice, then each slice column."""
    yield None, Slicing.whole(scores.rows)
    for name in scores.slices if names is None else names:
        yield name, scores.slices[name]


def measure(scores: ScoreSet, head: str, name: str | None, slicing: Slicing, ties: Ties) -> list[HeadMetrics]:
    """Metrics of a head on each slice of one column, from its ties."""
    count, rows = len(slicing.names), ties.rows
    logits, labels, weights = scores.logits[head], scores.labels[head], scores.weights.get(head)
    codes = slicing.codes[rows]
    mass = None if weights is None else weights[rows]
    known, positives = np.bincount(codes, minlength=count), np.bincount(codes[ties.positive], minlength=count)
    loss = losses(labels, logits)[rows]
    lost = sums_by(codes, loss if mass is None else loss * mass, count)
    weight = ties.hits + ties.misses
    grouped, groups = grouped_aucs(logits, labels, weights, rows, slicing.codes, scores.group, count)
    rate = ratio(ties.hits, weight)
    usable = (positives > 0) & (positives < known)
    log_loss = ratio(lost, weight)
    calibration, error = calibrations(ties, probabilities(logits), count)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = log_loss / entropy(rate)
    columns = {
        "auc": roc_aucs(ties), "pr_auc": average_precisions(ties), "log_loss": log_loss,
        "normalised_entropy": normalised, "calibration": calibration, "calibration_error": error,
    }  # fmt: skip
    return [
        HeadMetrics(
            head=head, slice_by=name, slice=None if name is None else slicing.names[index], rows=int(known[index]),
            positives=int(positives[index]), groups=int(groups[index]),
            grouped_auc=float(grouped[index]) if groups[index] else None,
            **{key: float(values[index]) if usable[index] else None for key, values in columns.items()},
        )
        for index in range(count)
    ]  # fmt: skip


def calibrations(ties: Ties, predicted: Doubles, count: int) -> tuple[Doubles, Doubles]:
    """(S,) predicted over observed rate, and expected calibration error."""
    promised, observed, mass, _ = (part.reshape(count, BINS) for part in bin_sums(ties, predicted))
    error = ratio(np.abs(promised - observed).sum(axis=1), mass.sum(axis=1))
    return ratio(promised.sum(axis=1), observed.sum(axis=1)), error
