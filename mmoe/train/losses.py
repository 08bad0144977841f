# ruff: noqa: N803, N806  (shapes in names)
"""The losses: of a head's labels, of a teacher's scores, of the gates' load. Pure functions of tensors.

Shapes: B rows, G groups, T heads, E experts.

Distillation losses share one signature, for all heads at once: student and teacher logits (T, B), group codes (B,) and
temperatures τ (T,); they give a loss (T,) for each head, a mean over the rows that count, and 0 (with a gradient of 0)
when none does. `distil` calls them with the rows on which the teacher is not silent. Logits are divided by τ and the
loss is multiplied by τ², so that gradients keep their size (Hinton et al. 2015). Pairwise losses compare rows of the
same group only, which is the view type; a row alone in its group has no pair and does not count. They carry no level,
nor does the listwise loss, so the task loss must stay beside them.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from mmoe.train.pairs import group_places, logistic_of_pairs

DistillationLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def masked_bce(logits_TB: Tensor, labels_TB: Tensor) -> Tensor:
    """(T,) mean binary cross-entropy over the rows whose label is not NaN (an immature label is masked, never 0)."""
    masked_TB = labels_TB.isnan()
    losses_TB = F.binary_cross_entropy_with_logits(logits_TB, labels_TB.masked_fill(masked_TB, 0.0), reduction="none")
    known_T = labels_TB.shape[1] - masked_TB.sum(dim=1)
    return losses_TB.masked_fill(masked_TB, 0.0).sum(dim=1) / known_T.clamp(min=1)


def load_imbalance(gates_TBE: Tensor) -> Tensor:
    """Squared coefficient of variation of the experts' mean gate weights over a batch, averaged over heads: 0 where all
    carry the same, E − 1 where one carries all (the importance loss of Shazeer et al. 2017).
    """
    load_TE = gates_TBE.mean(dim=1)
    return (load_TE.var(dim=1, correction=0) / load_TE.mean(dim=1).square()).mean()


def distil(name: str, student_TB: Tensor, teacher_TB: Tensor, groups_B: Tensor, temperature_T: Tensor) -> Tensor:
    """(T,) the loss of this name for each head, over the rows whose teacher logit is not NaN.

    Heads whose teacher speaks on the same rows are one call; elsewhere each head is its own.
    """
    silent_TB = teacher_TB.isnan()
    if silent_TB.any():
        if not torch.equal(silent_TB, silent_TB[:1].expand_as(silent_TB)):
            each = [slice(head, head + 1) for head in range(len(silent_TB))]
            return torch.cat([distil(name, student_TB[h], teacher_TB[h], groups_B, temperature_T[h]) for h in each])
        rows = (~silent_TB[0]).nonzero().squeeze(1)
        student_TB, teacher_TB = student_TB.index_select(1, rows), teacher_TB.index_select(1, rows)
        groups_B = groups_B.index_select(0, rows)
    if not len(groups_B):
        return student_TB.sum(dim=1)
    return DISTILLATION[name](student_TB, teacher_TB, groups_B, temperature_T)


def pairwise_logistic(student_TB: Tensor, teacher_TB: Tensor, groups_B: Tensor, temperature_T: Tensor) -> Tensor:
    """Soft RankNet: τ² · CE(σ(Δt/τ), σ(Δs/τ)) over pairs of rows of a group (Burges et al. 2005, soft targets).

    Every row meets the 8 that follow it in its group: exactly all pairs in a group of 9 rows, a sample of O(B) pairs in
    a larger one, of rows that are near in the stream where that is not shuffled.
    """
    return logistic_of_pairs(student_TB, teacher_TB, temperature_T, groups_B)


def pairwise_squared(student_TB: Tensor, teacher_TB: Tensor, groups_B: Tensor, temperature_T: Tensor) -> Tensor:
    """(Δs − Δt)² over all pairs of a group, exactly, in O(B): twice the unbiased variance of s − t in the group.

    The temperature cancels out.
    """
    difference_TB = student_TB - teacher_TB
    sizes_G = torch.bincount(groups_B)
    sums_TG = difference_TB.new_zeros(len(difference_TB), len(sizes_G)).index_add(1, groups_B, difference_TB)
    centred_TB = difference_TB - (sums_TG / sizes_G.clamp(min=1)).index_select(1, groups_B)
    sizes_B = sizes_G[groups_B]
    return row_mean(2 * sizes_B / (sizes_B - 1).clamp(min=1) * centred_TB.square(), sizes_B > 1)


def pairwise_absolute(student_TB: Tensor, teacher_TB: Tensor, groups_B: Tensor, temperature_T: Tensor) -> Tensor:
    """|Δs − Δt| over all pairs of a group, exactly, in O(B log B). The temperature cancels out.

    With d = t − s of rank r among n: Σ_{i<j} |dᵢ − dⱼ| = Σᵢ dᵢ (2rᵢ − n + 1).
    """
    lag_TB, sizes = teacher_TB - student_TB, torch.bincount(groups_B).tolist()
    return by_place(lag_TB, 2 * group_places(lag_TB, groups_B, len(sizes)), groups_B, sizes)


def pairwise_margin(student_TB: Tensor, teacher_TB: Tensor, groups_B: Tensor, temperature_T: Tensor) -> Tensor:
    """max(0, Δt − Δs) over all pairs of a group with Δt > 0, exactly, in O(B log B). The temperature cancels out.

    The hinge whose margin is the teacher's own: a student that orders a pair as firmly as the teacher is left alone. A
    tie of the teacher counts |Δs|/2, half of each order. As max(0, x) = (x + |x|)/2, the sum is that of
    `pairwise_absolute` with the teacher's rank in the place of one of the two: Σᵢ dᵢ (rank(tᵢ) + rank(dᵢ) − n + 1).
    """
    lag_TB, sizes = teacher_TB - student_TB, torch.bincount(groups_B).tolist()
    both = torch.cat([teacher_TB, lag_TB])  # one sort for both
    of_teacher_TB, of_lag_TB = group_places(both, groups_B, len(sizes)).chunk(2)
    return by_place(lag_TB, of_teacher_TB + of_lag_TB, groups_B, sizes)


def listwise_softmax(student_TB: Tensor, teacher_TB: Tensor, groups_B: Tensor, temperature_T: Tensor) -> Tensor:
    """τ² · CE(softmax(t/τ), softmax(s/τ)) over the rows of each group, a mean over groups of two rows or more.

    Here a group is what the schema's group_id and the view type say: the list that a user saw. Source: the top-one
    loss of ListNet (Cao et al. 2007) with the teacher's distribution for the labels'.
    """
    _, list_B, sizes_G = torch.unique(groups_B, return_inverse=True, return_counts=True)
    scaled = (x / temperature_T.unsqueeze(1) for x in (student_TB, teacher_TB))
    student_TB, teacher_TB = (group_log_softmax(x, list_B, len(sizes_G)) for x in scaled)
    entropies_TG = student_TB.new_zeros(len(student_TB), len(sizes_G))
    entropies_TG = entropies_TG.index_add(1, list_B, -teacher_TB.exp() * student_TB)
    return row_mean(entropies_TG, sizes_G > 1) * temperature_T.square()


def pointwise_bce(student_TB: Tensor, teacher_TB: Tensor, groups_B: Tensor, temperature_T: Tensor) -> Tensor:
    """Cross-entropy on the teacher's soft labels, τ² · CE(σ(t/τ), σ(s/τ))."""
    student_TB, teacher_TB = student_TB / temperature_T.unsqueeze(1), teacher_TB / temperature_T.unsqueeze(1)
    losses_TB = F.binary_cross_entropy_with_logits(student_TB, teacher_TB.sigmoid(), reduction="none")
    return row_mean(losses_TB) * temperature_T.square()


def logit_mse(student_TB: Tensor, teacher_TB: Tensor, groups_B: Tensor, temperature_T: Tensor) -> Tensor:
    """(s − t)². The temperature cancels out."""
    return row_mean((student_TB - teacher_TB).square())


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


def row_mean(losses_TB: Tensor, counted_B: Tensor | None = None) -> Tensor:
    """(T,) means over the rows that count; 0, still part of the graph, where none does."""
    if counted_B is None:
        return losses_TB.sum(dim=1) / max(losses_TB.shape[1], 1)
    return (losses_TB * counted_B).sum(dim=1) / counted_B.sum().clamp(min=1)


def by_place(lag_TB: Tensor, place_sum_TB: Tensor, groups_B: Tensor, sizes: Sequence[int]) -> Tensor:
    """Mean over paired rows of 2·dᵢ·(rank sumᵢ − n + 1)/(n − 1), n being the size of the row's group. A rank is a place
    in a head's row, less where its group starts there.
    """
    paired = max(1, sum(size for size in sizes if size > 1))
    middles = [2 * start + size - 1 for start, size in zip(accumulate(sizes, initial=0), sizes, strict=False)]
    factors = [2 / ((size - 1) * paired) if size > 1 else 0.0 for size in sizes]
    middle_B, factor_B = lag_TB.new_tensor([middles, factors]).index_select(1, groups_B)
    losses_T: Tensor = torch.linalg.vecdot(lag_TB, (place_sum_TB - middle_B) * factor_B)
    return losses_T


def group_log_softmax(logits_TB: Tensor, group_B: Tensor, groups: int) -> Tensor:
    """(T, B) log of each logit's softmax among those of its group."""
    group_TB = group_B.expand(logits_TB.shape)
    highest_TG = logits_TB.detach().new_full((len(logits_TB), groups), -torch.inf)
    highest_TG = highest_TG.scatter_reduce(1, group_TB, logits_TB.detach(), "amax")
    centred_TB = logits_TB - highest_TG.index_select(1, group_B)
    sums_TG = centred_TB.new_zeros(len(logits_TB), groups).index_add(1, group_B, centred_TB.exp())
    return centred_TB - sums_TG.log().index_select(1, group_B)
