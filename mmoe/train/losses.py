# ruff: noqa: N803, N806  (shapes in names)
"""Loss of one head: the task loss and the distillation losses. Pure functions of logits.

Shapes: B rows, P of them with a partner, K partners each, G groups.

Distillation losses share one signature: student logits (B,), teacher logits (B,) with NaN where the teacher is silent,
group indices (B,) (the view type) and a temperature τ. Each is a mean over the rows that count, and 0 (with a gradient
of 0) when none does. Logits are divided by τ and the loss is multiplied by τ², so that gradients keep their size
(Hinton et al. 2015). Pairwise losses compare rows of the same group only; a row alone in its group has no pair and
does not count. They carry no level, so the task loss must stay beside them.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFTS = 8

DistillationLoss = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def masked_bce(logits_B: Tensor, labels_B: Tensor) -> Tensor:
    """Mean binary cross-entropy over the rows whose label is not NaN (an immature label is masked, never 0)."""
    known = ~labels_B.isnan()
    losses = F.binary_cross_entropy_with_logits(logits_B[known], labels_B[known], reduction="none")
    return mean(losses)


def pairwise_logistic(student_B: Tensor, teacher_B: Tensor, groups_B: Tensor, temperature: float) -> Tensor:
    """Soft RankNet: τ² · CE(σ(Δt/τ), σ(Δs/τ)) over pairs of rows of a group (Burges et al. 2005, soft targets).

    Every row meets SHIFTS partners at fixed distances in its group: exactly all pairs in a group of 2·SHIFTS + 1
    rows, a sample of O(B) pairs in a larger one. Batches come shuffled, so fixed distances are as good as drawn ones.
    """
    student, teacher, groups = speaking(student_B, teacher_B, groups_B)
    row_P, partner_KP = shifted_pairs(groups)
    student_KP = differences(student, row_P, partner_KP) / temperature
    teacher_KP = differences(teacher, row_P, partner_KP) / temperature
    losses = F.binary_cross_entropy_with_logits(student_KP, teacher_KP.sigmoid(), reduction="none")
    return temperature**2 * mean(losses)


def pairwise_squared(student_B: Tensor, teacher_B: Tensor, groups_B: Tensor, temperature: float) -> Tensor:
    """(Δs − Δt)² over all pairs of a group, exactly, in O(B): twice the unbiased variance of s − t in the group.

    The temperature cancels out.
    """
    student, teacher, groups = speaking(student_B, teacher_B, groups_B)
    difference = student - teacher
    sizes_G = torch.bincount(groups)
    sums_G = torch.zeros_like(sizes_G, dtype=difference.dtype).index_add(0, groups, difference)
    centred = difference - (sums_G / sizes_G.clamp(min=1))[groups]
    sizes = sizes_G[groups]
    paired = sizes > 1
    return mean((2 * sizes / (sizes - 1).clamp(min=1) * centred.square())[paired])


def pointwise_bce(student_B: Tensor, teacher_B: Tensor, groups_B: Tensor, temperature: float) -> Tensor:
    """Cross-entropy on the teacher's soft labels, τ² · CE(σ(t/τ), σ(s/τ))."""
    student, teacher, _ = speaking(student_B, teacher_B, groups_B)
    soft_labels = (teacher / temperature).sigmoid()
    losses = F.binary_cross_entropy_with_logits(student / temperature, soft_labels, reduction="none")
    return temperature**2 * mean(losses)


def logit_mse(student_B: Tensor, teacher_B: Tensor, groups_B: Tensor, temperature: float) -> Tensor:
    """(s − t)². The temperature cancels out."""
    student, teacher, _ = speaking(student_B, teacher_B, groups_B)
    return mean((student - teacher).square())


DISTILLATION: Mapping[str, DistillationLoss] = {
    "pairwise_logistic": pairwise_logistic,
    "pairwise_squared": pairwise_squared,
    "pointwise_bce": pointwise_bce,
    "logit_mse": logit_mse,
}
"""By the name that DistillationConfig.loss takes."""


def mean(losses: Tensor) -> Tensor:
    """The mean; 0, still part of the graph, of no losses at all."""
    return losses.sum() / max(losses.numel(), 1)


def speaking(student_B: Tensor, teacher_B: Tensor, groups_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows on which the teacher says something."""
    known = ~teacher_B.isnan()
    return student_B[known], teacher_B[known], groups_B[known]


def differences(logits_B: Tensor, row_P: Tensor, partner_KP: Tensor) -> Tensor:
    """(K, P) differences of rows and their partners. index_select, as its backward is far faster than indexing's."""
    partners = logits_B.index_select(0, partner_KP.flatten()).view(partner_KP.shape)
    return logits_B.index_select(0, row_P) - partners


def shifted_pairs(groups_B: Tensor) -> tuple[Tensor, Tensor]:
    """Row indices (P,) of all rows that are not alone in their group, and of K = SHIFTS partners (K, P) of each.

    With a group's n rows in a ring, shift k pairs each with the one 1 + ⌊k·⌊n/2⌋/K⌋ places on; beyond half the ring
    the pairs repeat.
    """
    sizes_G = torch.bincount(groups_B)
    starts_G = sizes_G.cumsum(0) - sizes_G
    order = torch.argsort(groups_B, stable=True)
    groups = groups_B[order]
    paired = sizes_G[groups] > 1
    place = (torch.arange(len(order), device=order.device) - starts_G[groups])[paired]
    row_P, groups_P = order[paired], groups[paired]
    shifts_K1 = torch.arange(SHIFTS, device=order.device).unsqueeze(1)
    shift_KG = 1 + shifts_K1 * (sizes_G // 2) // SHIFTS
    place_KP = place + shift_KG.index_select(1, groups_P)
    place_KP = torch.where(place_KP < sizes_G[groups_P], place_KP, place_KP - sizes_G[groups_P])
    return row_P, order[place_KP + starts_G[groups_P]]
