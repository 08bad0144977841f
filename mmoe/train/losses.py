# ruff: noqa: N803, N806  (shapes in names)
"""The losses: of a head's labels, of a teacher's scores, of the gates' load. Pure functions of tensors.

Shapes: B rows, P of them with a partner, K partners each, G groups, T heads, E experts.

Distillation losses share one signature: student logits (B,), teacher logits (B,) with NaN where the teacher is silent,
group codes (B,) and a temperature τ. Each is a mean over the rows that count, and 0 (with a gradient of 0) when none
does. Logits are divided by τ and the loss is multiplied by τ², so that gradients keep their size (Hinton et al. 2015).
Pairwise losses compare rows of the same group only, which is the view type; a row alone in its group has no pair and
does not count. They carry no level, nor does the listwise loss, so the task loss must stay beside them.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mmoe.train.pairs import differences, group_ranks, shifted_pairs

DistillationLoss = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def masked_bce(logits_B: Tensor, labels_B: Tensor) -> Tensor:
    """Mean binary cross-entropy over the rows whose label is not NaN (an immature label is masked, never 0)."""
    known = ~labels_B.isnan()
    losses = F.binary_cross_entropy_with_logits(logits_B[known], labels_B[known], reduction="none")
    return mean(losses)


def load_imbalance(gates_TBE: Tensor) -> Tensor:
    """Squared coefficient of variation of the experts' mean gate weights over a batch, averaged over heads: 0 where all
    carry the same, E − 1 where one carries all (the importance loss of Shazeer et al. 2017).
    """
    load_TE = gates_TBE.mean(dim=1)
    return (load_TE.var(dim=1, correction=0) / load_TE.mean(dim=1).square()).mean()


def pairwise_logistic(student_B: Tensor, teacher_B: Tensor, groups_B: Tensor, temperature: float) -> Tensor:
    """Soft RankNet: τ² · CE(σ(Δt/τ), σ(Δs/τ)) over pairs of rows of a group (Burges et al. 2005, soft targets).

    Every row meets 8 partners at fixed distances in its group: exactly all pairs in a group of 17 rows, a sample of
    O(B) pairs in a larger one. Batches come shuffled, so fixed distances are as good as drawn ones.
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


def pairwise_absolute(student_B: Tensor, teacher_B: Tensor, groups_B: Tensor, temperature: float) -> Tensor:
    """|Δs − Δt| over all pairs of a group, exactly, in O(B log B). The temperature cancels out.

    With d = t − s of rank r among n: Σ_{i<j} |dᵢ − dⱼ| = Σᵢ dᵢ (2rᵢ − n + 1).
    """
    student, teacher, groups = speaking(student_B, teacher_B, groups_B)
    lag = teacher - student
    return by_rank(lag, 2 * group_ranks(lag, groups), groups)


def pairwise_margin(student_B: Tensor, teacher_B: Tensor, groups_B: Tensor, temperature: float) -> Tensor:
    """max(0, Δt − Δs) over all pairs of a group with Δt > 0, exactly, in O(B log B). The temperature cancels out.

    The hinge whose margin is the teacher's own: a student that orders a pair as firmly as the teacher is left alone. A
    tie of the teacher counts |Δs|/2, half of each order. As max(0, x) = (x + |x|)/2, the sum is that of
    `pairwise_absolute` with the teacher's rank in the place of one of the two: Σᵢ dᵢ (rank(tᵢ) + rank(dᵢ) − n + 1).
    """
    student, teacher, groups = speaking(student_B, teacher_B, groups_B)
    lag = teacher - student
    return by_rank(lag, group_ranks(teacher, groups) + group_ranks(lag, groups), groups)


def listwise_softmax(student_B: Tensor, teacher_B: Tensor, groups_B: Tensor, temperature: float) -> Tensor:
    """τ² · CE(softmax(t/τ), softmax(s/τ)) over the rows of each group, a mean over groups of two rows or more.

    Here a group is what the schema's group_id and the view type say: the list that a user saw. Source: the top-one
    loss of ListNet (Cao et al. 2007) with the teacher's distribution for the labels'.
    """
    student, teacher, groups = speaking(student_B, teacher_B, groups_B)
    _, list_B, sizes_G = torch.unique(groups, return_inverse=True, return_counts=True)
    student, teacher = (group_log_softmax(x / temperature, list_B, len(sizes_G)) for x in (student, teacher))
    entropies_G = student.new_zeros(len(sizes_G)).index_add(0, list_B, -teacher.exp() * student)
    return temperature**2 * mean(entropies_G[sizes_G > 1])


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
    "pairwise_absolute": pairwise_absolute,
    "pairwise_margin": pairwise_margin,
    "listwise_softmax": listwise_softmax,
    "pointwise_bce": pointwise_bce,
    "logit_mse": logit_mse,
}
"""By the name that DistillationConfig.loss takes."""
LISTWISE = frozenset({"listwise_softmax"})
"""Those whose groups are lists, not view types."""


def mean(losses: Tensor) -> Tensor:
    """The mean; 0, still part of the graph, of no losses at all."""
    return losses.sum() / max(losses.numel(), 1)


def speaking(student_B: Tensor, teacher_B: Tensor, groups_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows on which the teacher says something."""
    known = ~teacher_B.isnan()
    return student_B[known], teacher_B[known], groups_B[known]


def by_rank(lag_B: Tensor, rank_sum_B: Tensor, groups_B: Tensor) -> Tensor:
    """Mean over paired rows of 2·dᵢ·(rank sumᵢ − n + 1)/(n − 1), n being the size of the row's group."""
    sizes = torch.bincount(groups_B)[groups_B]
    paired = sizes > 1
    shares = (rank_sum_B - sizes + 1) / (sizes - 1).clamp(min=1)
    return mean((2 * lag_B * shares)[paired])


def group_log_softmax(logits_B: Tensor, group_B: Tensor, groups: int) -> Tensor:
    """(B,) log of each logit's softmax among those of its group."""
    highest_G = logits_B.detach().new_full((groups,), -torch.inf)
    highest_G = highest_G.scatter_reduce(0, group_B, logits_B.detach(), "amax")
    centred = logits_B - highest_G[group_B]
    sums_G = centred.new_zeros(groups).index_add(0, group_B, centred.exp())
    return centred - sums_G.log().index_select(0, group_B)
