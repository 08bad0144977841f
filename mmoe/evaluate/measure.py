"""All metrics of a score set: per head, on all rows and on each slice, a slice column at a time."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from mmoe.data.score_set import ScoreSet, Slicing
from mmoe.evaluate.grouped import GroupRanking, grouped_aucs, rank_in_groups
from mmoe.evaluate.metrics import HeadMetrics, bin_sums, entropy
from mmoe.evaluate.ranking import Cut, Ranking, cut, rank, ratio

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
    grouped = rank_in_groups(ranked, scores.group.take(ranked.rows))
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


def measure(head: str, name: str | None, slicing: Slicing, found: Cut, groups: GroupRanking) -> list[HeadMetrics]:
    """Metrics of a head on each slice of one column."""
    count = len(slicing.names)
    grouped, counted = grouped_aucs(groups, slicing.codes, count)
    mass = found.hits + found.misses
    log_loss = ratio(found.sums(found.ranking.loss), mass)
    promised, observed, _, _ = bin_sums(found)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = log_loss / entropy(ratio(found.hits, mass))
    columns = {
        "auc": np.array([ties.auc for ties in found.slices]), "log_loss": log_loss,
        "pr_auc": np.array([ties.average_precision for ties in found.slices]),
        "normalised_entropy": normalised, "calibration": ratio(promised.sum(axis=1), found.hits),
        "calibration_error": ratio(np.abs(promised - observed).sum(axis=1), mass),
    }  # fmt: skip
    return [
        HeadMetrics(
            head=head, slice_by=name, slice=None if name is None else slicing.names[index], rows=ties.rows,
            positives=ties.positives, groups=int(counted[index]),
            grouped_auc=float(grouped[index]) if counted[index] else None,
            **{key: float(values[index]) if 0 < ties.positives < ties.rows else None
               for key, values in columns.items()},
        )
        for index, ties in enumerate(found.slices)
    ]  # fmt: skip
