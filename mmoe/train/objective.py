# ruff: noqa: N803, N806, N815  (shapes in names)
"""The loss of a batch: cross-entropy of each head's label, distillation from each teacher, balance of the gates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmoe.config import DistillationConfig
from mmoe.data.batch import Batch
from mmoe.errors import ConfigError, TrainingError
from mmoe.model.network import Outputs
from mmoe.train.losses import LISTWISE, distil, load_imbalance, masked_bce
from mmoe.train.pairs import Groups


@dataclass(frozen=True, kw_only=True)
class Losses:
    total: Tensor
    """What is minimised."""
    task: Tensor
    """(H,) masked cross-entropy per head, unweighted."""
    distillation: Tensor
    """Weighted sum over teachers and heads; 0 without teachers."""


def no_losses(heads: int) -> Losses:
    """Of no rows."""
    return Losses(total=torch.zeros(()), task=torch.zeros(heads), distillation=torch.zeros(()))


@dataclass(frozen=True, kw_only=True)
class Part:
    """How much of a batch that several processes hold together is this process's."""

    labelled_T: Tensor
    """(T,) of the rows with a final label, per head."""
    rows: float


@dataclass(frozen=True, kw_only=True)
class Objective:
    """total = Σ_h weight_h · BCE_h + Σ_t weight_t · Σ_h weight_h' · distillation(student_h, teacher_th)
    + balance · load_imbalance(gates). Raises ConfigError for weights or temperatures of a head that does not exist.
    """

    heads: tuple[str, ...]
    head_weights: Mapping[str, float]
    distillation: DistillationConfig | None = None
    teacher_weights: Sequence[float] = ()
    balance: float = 0.0

    def __post_init__(self) -> None:
        refuse_unknown_heads(self.heads, "head_weights", self.head_weights)
        if self.distillation is not None:
            for field in ("head_weights", "head_temperatures"):
                refuse_unknown_heads(self.heads, f"distillation.{field}", getattr(self.distillation, field))

    def __call__(self, outputs: Outputs, batch: Batch, part: Part | None = None) -> Losses:
        """With a `part`, each loss is this process's share of the mean over the whole batch: their sum over processes
        is the loss of the whole, but that pairs, lists and load are of each process's own rows.
        """
        logits_TB = self._stacked(outputs.logits)
        task_T = masked_bce(logits_TB, batch.labels_BH.T)
        alike = outputs.distilled is outputs.logits
        distilled = self._distilled(logits_TB if alike else self._stacked(outputs.distilled), batch)
        if part is not None:
            task_T, distilled = task_T * part.labelled_T.to(task_T.device), distilled * part.rows
        total = torch.linalg.vecdot(task_T, self._constants[0].to(task_T.device)) + distilled
        if self.balance and outputs.gates_TBE is not None:
            total = total + self.balance * load_imbalance(outputs.gates_TBE) * (part.rows if part else 1.0)
        return Losses(total=total, task=task_T.detach(), distillation=distilled.detach())

    def _stacked(self, logits: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([logits[head] for head in self.heads])

    @cached_property
    def _constants(self) -> Tensor:
        """(3, T) each head's weight, and those of its distillation and its temperature."""
        distillation = self.distillation or DistillationConfig()
        return torch.tensor(
            [
                [self.head_weights.get(head, 1.0) for head in self.heads],
                [distillation.head_weights.get(head, distillation.weight) for head in self.heads],
                [distillation.head_temperatures.get(head, distillation.temperature) for head in self.heads],
            ]
        )

    def _distilled(self, student_TB: Tensor, batch: Batch) -> Tensor:
        total = student_TB.new_zeros(())
        if self.distillation is None or not self.teacher_weights:
            return total
        loss = self.distillation.loss
        groups = lists(batch) if loss in LISTWISE else view_types(batch)
        _, weights_T, temperatures_T = self._constants.to(student_TB.device)
        teachers = zip(self.teacher_weights, batch.teachers_BH, batch.spoken, strict=True)
        for teacher_weight, teacher_BT, spoken in teachers:
            losses_T = distil(loss, student_TB, teacher_BT.T, groups, temperatures_T, spoken=spoken)
            total = torch.add(total, torch.linalg.vecdot(losses_T, weights_T), alpha=teacher_weight)
        return total


def view_types(batch: Batch) -> Groups | Tensor:
    """Rows of the same view type are compared."""
    view_type_B, sizes = batch.inputs.view_type_B, batch.view_type_sizes
    return view_type_B if sizes is None else Groups(index_B=view_type_B, sizes=sizes)


def lists(batch: Batch) -> Tensor:
    """(B,) codes that are equal for rows of one group and view type; a row without a group is a list of its own."""
    if batch.group_B is None:
        raise TrainingError("listwise distillation needs each row's group; stream the batches with `with_groups`.")
    codes = batch.group_B * (int(batch.inputs.view_type_B.max()) + 1) + batch.inputs.view_type_B
    return torch.where(batch.group_B < 0, -1 - torch.arange(len(codes), device=codes.device), codes)


def refuse_unknown_heads(heads: Sequence[str], field: str, values: Mapping[str, float]) -> None:
    unknown = sorted(set(values) - set(heads))
    if unknown:
        raise ConfigError(f"{field}.{unknown[0]}={values[unknown[0]]}: no such head; use one of {', '.join(heads)}.")
