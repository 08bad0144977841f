"""All metrics of a score set: per head, on all rows and on each slice, a slice column at a time."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from mmoe.data.score_set import ScoreSet, Slicing
from mmoe.evaluate.grouped import GroupRanking, grouped_aucs, rank_in_groups
from mmoe.evaluate.metrics import BINS, HeadMetrics, bin_sums, entropy
from mmoe.evaluate.ranking import Doubles, Ranking, Ties, average_precisions, cut, rank, ratio, roc_aucs, totals

Result = TypeVar("Result")
MOST_THREADS = 4


def all_metrics(scores: ScoreSet, slices: Sequence[str] | None = None) -> list[HeadMetrics]:
    """Per head, over all rows and on each slice of the given columns (None: every column of the score set)."""
    return [each for found in by_head(lambda head: head_metrics(scores, head, slices), scores.heads) for each in found]


def by_head(work: Callable[[str], Result], heads: Sequence[str]) -> list[Result]:
    """Heads side by side on the machine's CPUs; the result does not depend on how many there are."""
    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)), max(1, len(heads)))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, heads))


def head_metrics(scores: ScoreSet, head: str, slices: Sequence[str] | None) -> list[HeadMetrics]:
    ranked = ranking_of(scores, scores, head)
    grouped = rank_in_groups(ranked, scores.group)
    return [
        each
        for name, slicing in slicings(scores, slices)
        for each in measure(head, name, slicing, cut(ranked, slicing.codes, len(slicing.names)), grouped)
    ]


def ranking_of(side: ScoreSet, paired: ScoreSet, head: str) -> Ranking:
    """A side's scores of a head by the labels and weights of the score set that it is paired with."""
    return rank(side.logits[head], paired.labels[head], paired.weights.get(head), paired.final(head))


def slicings(scores: ScoreSet, names: Sequence[str] | None = None) -> Iterator[tuple[str | None, Slicing]]:
    """All rows as one slice, then each slice column."""
    yield None, Slicing.whole(scores.rows)
    for name in scores.slices if names is None else names:
        yield name, scores.slices[name]


def measure(head: str, name: str | None, slicing: Slicing, ties: Ties, groups: GroupRanking) -> list[HeadMetrics]:
    """Metrics of a head on each slice of one column, from its ties."""
    count, weight = len(slicing.names), ties.hits + ties.misses
    known, positives = ties.counts
    grouped, counted = grouped_aucs(groups, slicing.codes, count)
    usable = (positives > 0) & (positives < known)
    log_loss = ratio(lost(ties), weight)
    calibration, error = calibrations(ties, count)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = log_loss / entropy(ratio(ties.hits, weight))
    columns = {
        "auc": roc_aucs(ties), "pr_auc": average_precisions(ties), "log_loss": log_loss,
        "normalised_entropy": normalised, "calibration": calibration, "calibration_error": error,
    }  # fmt: skip
    return [
        HeadMetrics(
            head=head, slice_by=name, slice=None if name is None else slicing.names[index], rows=int(known[index]),
            positives=int(positives[index]), groups=int(counted[index]),
            grouped_auc=float(grouped[index]) if counted[index] else None,
            **{key: float(values[index]) if usable[index] else None for key, values in columns.items()},
        )
        for index in range(count)
    ]  # fmt: skip


def lost(ties: Ties) -> Doubles:
    """(S,) sums of the rows' cross-entropies: that of a positive is ln(1 + e^−|x|) + max(−x, 0)."""
    logits = ties.ranking.scores[ties.picks].astype(np.float64)
    each = ties.ranking.surprise[ties.picks] * (ties.positives + ties.negatives)
    each += np.abs(logits) * np.where(logits < 0, ties.positives, ties.negatives)
    return totals(each, ties.bounds)


def promised(ties: Ties) -> Doubles:
    """(S,) sums of the predicted probabilities."""
    return totals(ties.promises, ties.bounds)


def calibrations(ties: Ties, count: int) -> tuple[Doubles, Doubles]:
    """(S,) predicted over observed rate, and expected calibration error."""
    predicted, observed, mass, _ = (part.reshape(count, BINS) for part in bin_sums(ties))
    error = ratio(np.abs(predicted - observed).sum(axis=1), mass.sum(axis=1))
    return ratio(predicted.sum(axis=1), observed.sum(axis=1)), error
