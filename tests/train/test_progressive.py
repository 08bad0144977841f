"""mmoe.train.progressive: the AUC of predictions made before their rows were learned."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mmoe.train.progressive import aucs, count, no_rows

HEADS = ("click", "save")


def test_it_is_sklearns_auc_over_the_rows_of_all_batches_whose_label_is_final() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random((300, 2)) < 0.3).astype(np.float32)
    labels[::7, 1] = np.nan
    logits = rng.normal(size=(300, 2)).astype(np.float32) + np.nan_to_num(labels)
    rows = no_rows(2)
    for part in (slice(0, 128), slice(128, 300)):
        scored = {"save": torch.tensor(logits[part, 1]), "click": torch.tensor(logits[part, 0])}
        count(rows, scored, torch.tensor(labels[part]), HEADS)
    found, final = aucs(rows, HEADS), ~np.isnan(labels[:, 1])
    assert found["click"] == pytest.approx(roc_auc_score(labels[:, 0], logits[:, 0]), abs=3e-4)
    assert found["save"] == pytest.approx(roc_auc_score(labels[final, 1], logits[final, 1]), abs=3e-4)


def test_logits_beyond_the_bins_keep_their_side() -> None:
    logits = {head: torch.tensor([-100.0, -15.9, 15.9, 100.0]) for head in HEADS}
    labels = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    count(rows := no_rows(2), logits, labels, HEADS)
    assert aucs(rows, HEADS) == {"click": 1.0, "save": 0.0}


def test_a_head_without_both_classes_has_none() -> None:
    labels = torch.tensor([[1.0, math.nan], [1.0, math.nan]])
    logits = {head: torch.tensor([0.1, 0.2], requires_grad=True) for head in HEADS}
    count(rows := no_rows(2), logits, labels, HEADS)
    assert aucs(rows, HEADS) == {"click": None, "save": None}


def test_a_training_keeps_it_at_every_point_and_it_rises(trained) -> None:
    curve = [point.auc["click"] for stage in trained.state.stages for point in stage.curve]
    assert len(curve) > 3
    assert all(0 <= auc <= 1 for auc in curve)
    assert np.mean(curve[-2:]) > np.mean(curve[:2])
