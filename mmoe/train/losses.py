# ruff: noqa: N803, N806  (shapes in names)
"""The losses: of a head's labels, of a teacher's scores, of the gates' load. Pure functions of tensors.

Shapes: B rows, G groups, T heads, E experts.

Distillation losses share one signature, for all heads at once: student and teacher logits (T, B), the groups in which
the rows stand and temperatures τ (T,); they give a loss (T,) for each head, a mean over the rows that count, and 0
(with a gradient of 0) when none does. `distil` calls them with the rows on which the teacher is not silent. Logits are
divided by τ and the loss is multiplied by τ², so that gradients keep their size (Hinton et al. 2015). Pairwise losses
compare rows of the same group only, which is the view type; a row alone in its group has no pair and does not count.
They carry no level, nor does the listwise loss, so the task loss must stay beside them.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmoe.train.pairs import Groups, grouped, logistic_of_pairs, ranks, sloped

DistillationLoss = Callable[[Tensor, Tensor, Groups, Tensor], Tensor]


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


def distil(
    name: str,
    student_TB: Tensor,
    teacher_TB: Tensor,
    groups: Groups | Tensor,
    temperature_T: Tensor,
    *,
    spoken: Sequence[int] | None = None,
) -> Tensor:
    """(T,) the loss of this name for each head, over the rows whose teacher logit is not NaN.

    Groups may be codes (B,) instead, equal for rows of one group, wherever these stand. Where it is known of which
    heads the teacher speaks, on every row, and that it is silent on the others, `spoken` spares looking for silences.
    """
    if spoken is None:
        silent_TB = teacher_TB.isnan()
        if silent_TB.any():
            return where_spoken(name, student_TB, teacher_TB, groups, temperature_T, silent_TB)
    elif len(spoken) < len(student_TB):
        heads = torch.tensor(spoken, dtype=torch.int64, device=student_TB.device)
        student, teacher, temperature = (x.index_select(0, heads) for x in (student_TB, teacher_TB, temperature_T))
        losses_T = distil(name, student, teacher, groups, temperature, spoken=range(len(spoken)))
        return student_TB.new_zeros(len(student_TB)).index_copy(0, heads, losses_T)
    if isinstance(groups, Tensor):
        groups, row_B = grouped(groups)
        student_TB, teacher_TB = student_TB.index_select(1, row_B), teacher_TB.index_select(1, row_B)
    if not student_TB.numel():
        return student_TB.sum(dim=1)
    return DISTILLATION[name](student_TB, teacher_TB, groups, temperature_T)


def where_spoken(
    name: str, student_TB: Tensor, teacher_TB: Tensor, groups: Groups | Tensor, temperature_T: Tensor, silent_TB: Tensor
) -> Tensor:
    """`distil`, for heads together whose teacher is silent on the same rows."""
    code_B = groups if isinstance(groups, Tensor) else groups.index_B
    losses_T = student_TB.new_zeros(len(student_TB))
    silences, of_head_T = torch.unique(silent_TB, dim=0, return_inverse=True)
    for number, silent_B in enumerate(silences):
        heads, rows = (of_head_T == number).nonzero().squeeze(1), (~silent_B).nonzero().squeeze(1)
        student, teacher = (x.index_select(0, heads).index_select(1, rows) for x in (student_TB, teacher_TB))
        of_these = code_B.index_select(0, rows), temperature_T.index_select(0, heads)
        losses = distil(name, student, teacher, *of_these, spoken=range(len(heads)))
        losses_T = losses_T.index_copy(0, heads, losses)
    return losses_T


def pairwise_logistic(student_TB: Tensor, teacher_TB: Tensor, groups: Groups, temperature_T: Tensor) -> Tensor:
    """Soft RankNet: τ² · CE(σ(Δt/τ), σ(Δs/τ)) over pairs of rows of a group (Burges et al. 2005, soft targets).

    Every row meets the 8 that follow it in its group: exactly all pairs in a group of 9 rows, a sample of O(B) pairs in
    a larger one, of rows that are near in the stream where that is not shuffled.
    """
    return sloped(student_TB, *logistic_of_pairs(student_TB, teacher_TB, temperature_T, groups))


def pairwise_squared(student_TB: Tensor, teacher_TB: Tensor, groups: Groups, temperature_T: Tensor) -> Tensor:
    """(Δs − Δt)² over all pairs of a group, exactly, in O(B): twice the unbiased variance of s − t in the group.

    The temperature cancels out.
    """
    difference_TB = student_TB - teacher_TB
    paired = max(1, sum(size for size in groups.sizes if size > 1))
    each = [[max(1, size) for size in groups.sizes], [2 * size / (max(2, size) - 1) / paired for size in groups.sizes]]
    sizes_G, factors_G = difference_TB.new_tensor(each)
    sums_TG = difference_TB.new_zeros(len(difference_TB), len(sizes_G)).index_add(1, groups.index_B, difference_TB)
    centred_TB = difference_TB - (sums_TG / sizes_G).index_select(1, groups.index_B)
    losses_T: Tensor = torch.linalg.vecdot(centred_TB, centred_TB * factors_G.index_select(0, groups.index_B))
    return losses_T


def pairwise_absolute(student_TB: Tensor, teacher_TB: Tensor, groups: Groups, temperature_T: Tensor) -> Tensor:
    """|Δs − Δt| over all pairs of a group, exactly, in O(B log B). The temperature cancels out.

    With d = t − s of rank r among n: Σ_{i<j} |dᵢ − dⱼ| = Σᵢ dᵢ (2rᵢ − n + 1).
    """
    lag_TB = teacher_TB - student_TB
    losses_T: Tensor = torch.linalg.vecdot(lag_TB, 2 * ranks(lag_TB, groups))
    return losses_T


def pairwise_margin(student_TB: Tensor, teacher_TB: Tensor, groups: Groups, temperature_T: Tensor) -> Tensor:
    """max(0, Δt − Δs) over all pairs of a group with Δt > 0, exactly, in O(B log B). The temperature cancels out.

    The hinge whose margin is the teacher's own: a student that orders a pair as firmly as the teacher is left alone. A
    tie of the teacher counts |Δs|/2, half of each order. As max(0, x) = (x + |x|)/2, the sum is that of
    `pairwise_absolute` with the teacher's rank in the place of one of the two: Σᵢ dᵢ (rank(tᵢ) + rank(dᵢ) − n + 1).
    """
    lag_TB = teacher_TB - student_TB
    of_teacher_TB, of_lag_TB = ranks(torch.cat([teacher_TB, lag_TB.detach()]), groups).chunk(2)  # one sort for both
    losses_T: Tensor = torch.linalg.vecdot(lag_TB, of_teacher_TB.add_(of_lag_TB))
    return losses_T


def listwise_softmax(student_TB: Tensor, teacher_TB: Tensor, groups: Groups, temperature_T: Tensor) -> Tensor:
    """τ² · CE(softmax(t/τ), softmax(s/τ)) over the rows of each group, a mean over groups of two rows or more. Its
    slopes are τ · (softmax(s/τ) − softmax(t/τ)).

    Here a group is what the schema's group_id and the view type say: the list that a user saw. Source: the top-one
    loss of ListNet (Cao et al. 2007) with the teacher's distribution for the labels'.
    """
    with torch.no_grad():
        both = torch.stack([student_TB, teacher_TB]).div_(temperature_T.unsqueeze(1)).flatten(0, 1)
        log_TB, log_target_TB = group_log_softmax(both, groups).chunk(2)
        target_TB = log_target_TB.exp()
        each_T = temperature_T / max(1, sum(size > 1 for size in groups.sizes))  # a lone row's softmax is 1, its loss 0
        losses_T = torch.linalg.vecdot(target_TB, log_TB).mul_(-each_T * temperature_T)
        slopes_TB = log_TB.exp().sub_(target_TB).mul_(each_T.unsqueeze(1))
    return sloped(student_TB, losses_T, slopes_TB)


def pointwise_bce(student_TB: Tensor, teacher_TB: Tensor, groups: Groups, temperature_T: Tensor) -> Tensor:
    """Cross-entropy on the teacher's soft labels, τ² · CE(σ(t/τ), σ(s/τ))."""
    student_TB, teacher_TB = student_TB / temperature_T.unsqueeze(1), teacher_TB / temperature_T.unsqueeze(1)
    losses_TB = F.binary_cross_entropy_with_logits(student_TB, teacher_TB.sigmoid(), reduction="none")
    return row_mean(losses_TB) * temperature_T.square()


def logit_mse(student_TB: Tensor, teacher_TB: Tensor, groups: Groups, temperature_T: Tensor) -> Tensor:
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


def row_mean(losses_TB: Tensor) -> Tensor:
    """(T,) means; 0, still part of the graph, of no rows."""
    return losses_TB.sum(dim=1) / max(losses_TB.shape[1], 1)


def group_log_softmax(logits_TB: Tensor, groups: Groups) -> Tensor:
    """(T, B) log of each logit's softmax among those of its group."""
    empty = len(logits_TB), len(groups.sizes)
    highest_TG = logits_TB.new_full(empty, -torch.inf)
    highest_TG.scatter_reduce_(1, groups.index_B.expand(logits_TB.shape), logits_TB, "amax")
    centred_TB = logits_TB - highest_TG.index_select(1, groups.index_B)
    sums_TG = centred_TB.new_zeros(empty).index_add_(1, groups.index_B, centred_TB.exp())
    return centred_TB.sub_(sums_TG.log_().index_select(1, groups.index_B))
