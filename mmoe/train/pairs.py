# ruff: noqa: N803, N806  (shapes in names)
"""What pairwise losses need to know of all pairs inside groups, in O(B) or O(B log B).

Shapes: B rows, P of them with a partner, K partners each, G groups.
"""

import torch
from torch import Tensor

SHIFTS = 8


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


def group_ranks(values_B: Tensor, groups_B: Tensor) -> Tensor:
    """(B,) rank of each value among those of its group, from 0 on; equal values share their mean rank. O(B log B)."""
    order = torch.argsort(values_B.detach(), stable=True)
    order = order[torch.argsort(groups_B[order], stable=True)]
    values, groups = values_B.detach()[order], groups_B[order]
    differs = (values[1:] != values[:-1]) | (groups[1:] != groups[:-1])
    run_B = torch.cat([differs.new_zeros(min(1, len(values))), differs]).cumsum(0)
    lengths = torch.bincount(run_B)
    middles = lengths.cumsum(0) - lengths + (lengths - 1) / 2
    sizes_G = torch.bincount(groups_B)
    starts_G = sizes_G.cumsum(0) - sizes_G
    ranks = (middles[run_B] - starts_G[groups]).to(values.dtype)
    return torch.empty_like(ranks).index_copy(0, order, ranks)
