"""The loss of a batch: cross-entropy of each head's label, and distillation from each teacher."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmoe.config import DistillationConfig
from mmoe.data.stream import Batch
from mmoe.train.losses import DISTILLATION, masked_bce


@dataclass(frozen=True, kw_only=True)
class Losses:
    total: Tensor
    """What is minimised."""
    task: Tensor
    """(H,) masked cross-entropy per head, unweighted."""
    distillation: Tensor
    """Weighted sum over teachers and heads; 0 without teachers."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """total = Σ_h weight_h · BCE_h + Σ_t weight_t · Σ_h weight_h' · distillation(student_h, teacher_th)."""

    heads: tuple[str, ...]
    head_weights: Mapping[str, float]
    distillation: DistillationConfig | None = None
    teacher_weights: Sequence[float] = ()

    def __call__(self, logits: Mapping[str, Tensor], batch: Batch) -> Losses:
        labels = dict(zip(self.heads, batch.labels_BH.unbind(dim=1), strict=True))
        task = torch.stack([masked_bce(logits[head], labels[head]) for head in self.heads])
        weights = torch.tensor([self.head_weights.get(head, 1.0) for head in self.heads])
        distilled = self._distilled(logits, batch)
        return Losses(total=task.mul(weights).sum() + distilled, task=task.detach(), distillation=distilled.detach())

    def _distilled(self, logits: Mapping[str, Tensor], batch: Batch) -> Tensor:
        total = torch.zeros(())
        if self.distillation is None:
            return total
        config, loss = self.distillation, DISTILLATION[self.distillation.loss]
        for teacher_weight, teacher_logits in zip(self.teacher_weights, batch.teachers_BH, strict=True):
            for head, teacher in zip(self.heads, teacher_logits.unbind(dim=1), strict=True):
                weight = teacher_weight * config.head_weights.get(head, config.weight)
                total = total + weight * loss(logits[head], teacher, batch.inputs.view_type_B, config.temperature)
        return total
