"""Score sets made in memory, and rankings done the slow way."""

from datetime import date

import numpy as np
import pyarrow as pa

from mmoe.data.score_set import ScoreSet, Slicing

DAY = date(2026, 9, 22)


def score_set(logits, labels, *, digest="a", slices=None, group=None, weights=None):
    """logits and labels: head -> (N,); slices: name -> (N,) values."""
    rows = len(next(iter(logits.values())))
    return ScoreSet(
        days=(DAY,), model_digest=digest * 64, heads=tuple(logits),
        example_id=pa.array(np.arange(rows).astype(str)),
        group=np.arange(rows) if group is None else np.asarray(group),
        slices={name: Slicing.of(pa.array(values)) for name, values in (slices or {}).items()},
        logits={head: np.asarray(values, dtype=np.float32) for head, values in logits.items()},
        labels={head: np.asarray(values, dtype=np.float32) for head, values in labels.items()},
        weights={head: np.asarray(values, dtype=np.float32) for head, values in (weights or {}).items()},
    )  # fmt: skip


def pairwise_auc(labels, scores, weights=None):
    """Every positive against every negative."""
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    up, down = labels == 1, labels == 0
    wins = (scores[up][:, None] > scores[down][None, :]) + 0.5 * (scores[up][:, None] == scores[down][None, :])
    pairs = weights[up][:, None] * weights[down][None, :]
    return float((wins * pairs).sum() / pairs.sum())
