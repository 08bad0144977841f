# ruff: noqa: N803, N806, N815  (shapes in names)
"""What pairwise losses need to know of all pairs inside groups, in O(B) or O(B log B).

Shapes: T heads, B rows, P of them with a partner, K partners each, G groups.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFTS = 8


class Pairs(NamedTuple):
    """Pairs of P rows, which stand group by group; a place is a position among them."""

    row_P: Tensor
    """The batch row at each place."""
    partner_KP: Tensor
    """The places of each place's K partners."""
    partnered_by_KP: Tensor
    """The places of which it is the k-th partner: the inverse of each line of partner_KP."""


def shifted_pairs(groups_B: Tensor) -> Pairs:
    """All rows that are not alone in their group, each with K = SHIFTS partners.

    With a group's n rows in a ring, shift k pairs each with the one 1 + ⌊k·⌊n/2⌋/K⌋ places on; beyond half the ring
    the pairs repeat.
    """
    sizes_G = torch.bincount(groups_B)
    paired_G = sizes_G > 1
    groups, order = torch.sort(groups_B, stable=True)
    paired = paired_G[groups]
    row_P, groups_P = order[paired], groups[paired]
    counted_G = sizes_G * paired_G
    starts_P = (counted_G.cumsum(0) - counted_G)[groups_P]
    ends_P = starts_P + sizes_G[groups_P]
    place_P = torch.arange(len(row_P), device=groups_B.device)
    shifts_K1 = torch.arange(SHIFTS, device=groups_B.device).unsqueeze(1)
    shift_KP = (1 + shifts_K1 * (sizes_G // 2) // SHIFTS).index_select(1, groups_P)
    ahead_KP, behind_KP, sizes_P = place_P + shift_KP, place_P - shift_KP, ends_P - starts_P
    partner_KP = torch.where(ahead_KP < ends_P, ahead_KP, ahead_KP - sizes_P)
    return Pairs(row_P, partner_KP, torch.where(behind_KP >= starts_P, behind_KP, behind_KP + sizes_P))


class LogisticOfPairs(torch.autograd.Function):
    """(T, P) student and teacher logits by place → (T, P) mean over K partners of CE(σ(Δt), σ(Δs)), and its gradient.

    A student's gradient is σ(Δs) − σ(Δt) of each of its pairs, from both sides of them.
    """

    @staticmethod
    def forward(ctx: Any, student_TP: Tensor, teacher_TP: Tensor, partner_KP: Tensor, by_KP: Tensor) -> Tensor:
        shape, partner = (len(student_TP), *partner_KP.shape), partner_KP.flatten()
        student_TKP = student_TP.unsqueeze(1) - student_TP.index_select(1, partner).view(shape)
        target_TKP = (teacher_TP.unsqueeze(1) - teacher_TP.index_select(1, partner).view(shape)).sigmoid_()
        losses_TKP = F.softplus(student_TKP).addcmul_(target_TKP, student_TKP, value=-1)
        ctx.save_for_backward(student_TKP.sigmoid_().sub_(target_TKP), by_KP)
        return losses_TKP.mean(dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        of_pair_TKP, by_KP = ctx.saved_tensors
        (gradient_TP,) = gradients
        weighted_TKP = of_pair_TKP * (gradient_TP / SHIFTS).unsqueeze(1)
        as_partner_TKP = weighted_TKP.gather(2, by_KP.expand(weighted_TKP.shape))
        return weighted_TKP.sum(dim=1) - as_partner_TKP.sum(dim=1), None, None, None


def logistic_of_pairs(student_TP: Tensor, teacher_TP: Tensor, pairs: Pairs) -> Tensor:
    """(T, P) mean over each place's partners of the cross-entropy of the teacher's and the student's order."""
    losses_TP: Tensor = LogisticOfPairs.apply(  # type: ignore[no-untyped-call]
        student_TP, teacher_TP, pairs.partner_KP, pairs.partnered_by_KP
    )
    return losses_TP


def group_ranks(values_TB: Tensor, groups_B: Tensor) -> Tensor:
    """(T, B) rank of each value among those of its head and group, from 0 on; equal values share their mean rank.

    Values are compared as float32: as integers of the same order below their head's and group's code, one sort of
    64-bit integers does it, which is several times as fast as one by values and one by groups. O(B log B).
    """
    groups = int(groups_B.max()) + 1 if len(groups_B) else 1
    head_T1 = torch.arange(len(values_TB), device=groups_B.device).unsqueeze(1)
    codes_TB = groups_B + head_T1 * groups
    bits = (values_TB.detach().float() + 0.0).view(torch.int32)  # + 0.0, as -0.0 equals 0.0
    keys, order = torch.sort(((codes_TB << 32) + (bits ^ ((bits >> 31) & 0x7FFFFFFF))).flatten())
    _, run, lengths = torch.unique_consecutive(keys, return_inverse=True, return_counts=True)
    middles = lengths.cumsum(0) - lengths + (lengths - 1) / 2
    sizes = torch.bincount(codes_TB.flatten())
    starts = sizes.cumsum(0) - sizes
    ranks = (middles[run] - starts[codes_TB.flatten()[order]]).to(values_TB.dtype)
    return torch.empty_like(ranks).index_copy(0, order, ranks).view(values_TB.shape)
