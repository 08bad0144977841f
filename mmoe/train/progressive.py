"""What a model said of rows before it learned them: its AUC along the way, without a pass of its own."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmoe.evaluate.metrics import roc_auc

Scored = tuple[Tensor, Tensor]
"""(B, H) logits and labels of a batch; labels hold NaN where they are not final."""


def scored(logits: dict[str, Tensor], labels: Tensor, heads: Sequence[str]) -> Scored:
    return torch.stack([logits[head] for head in heads], dim=1).detach().float(), labels


def aucs(batches: Sequence[Scored], heads: Sequence[str]) -> dict[str, float | None]:
    """Per head over the rows of all batches; None where a class is missing."""
    all_logits, all_labels = (torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
    found: dict[str, float | None] = {}
    for index, head in enumerate(heads):
        final = ~np.isnan(all_labels[:, index])
        labels = all_labels[final, index]
        found[head] = roc_auc(labels, all_logits[final, index]) if 0 < labels.sum() < len(labels) else None
    return found
