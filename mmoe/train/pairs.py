# ruff: noqa: N803, N806, N815  (shapes in names)
"""What pairwise losses need to know of all pairs inside groups, in O(B) or O(B log B).

Shapes: T heads, B rows, K rows that follow one, G groups.

These losses are small beside a step, and most of their time is the overhead of each operation: rows stand group by
group before they come here, all heads and both models' logits share operations, gradients are written down, and what is
of groups, few as they are, is Python's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FOLLOWING = 8


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Rows that stand group by group. The sizes are no tensor, so that nobody waits for a device to know them."""

    index_B: Tensor
    """int64, from 0 on, ascending."""
    sizes: Sequence[int]
    """(G,) rows of each; 0 is one."""


def grouped(codes_B: Tensor) -> tuple[Groups, Tensor]:
    """Groups of rows of equal codes, and the rows (B,) in their order, in which those of a group keep theirs."""
    codes_B, row_B = torch.sort(codes_B, stable=True)
    _, index_B, sizes_G = torch.unique_consecutive(codes_B, return_inverse=True, return_counts=True)
    return Groups(index_B=index_B, sizes=sizes_G.tolist()), row_B


def sloped(student_TB: Tensor, losses_T: Tensor, slopes_TB: Tensor) -> Tensor:
    """(T,) these losses, whose gradient by the student's logits is known: the slopes."""
    tangent_T: Tensor = torch.linalg.vecdot(student_TB, slopes_TB)
    return losses_T + (tangent_T - tangent_T.detach())


@torch.no_grad()
def logistic_of_pairs(
    student_TB: Tensor, teacher_TB: Tensor, temperature_T: Tensor, groups: Groups
) -> tuple[Tensor, Tensor]:
    """(T,) τ² · CE(σ(Δt/τ), σ(Δs/τ)), a mean over the pairs of each row with the FOLLOWING next rows of its group, and
    its slopes (T, B): τ·(σ(Δs/τ) − σ(Δt/τ)) of each of a row's pairs, from both sides.
    """
    rows, beyond = len(groups.index_B), (0, FOLLOWING)
    same_KB = (following(F.pad(groups.index_B, beyond, value=-1).unsqueeze(0), rows) == groups.index_B)[0].float()
    both = F.pad(torch.stack([student_TB, teacher_TB]).div_(temperature_T.unsqueeze(1)).flatten(0, 1), beyond)
    differences = both[:, :rows].unsqueeze(1) - following(both, rows)
    student_TKB, teacher_TKB = differences.chunk(2)
    target_TKB = teacher_TKB.sigmoid_()
    losses_TKB = F.softplus(student_TKB).addcmul_(target_TKB, student_TKB, value=-1).mul_(same_KB)
    slopes = F.pad(student_TKB.sigmoid_().sub_(target_TKB).mul_(same_KB), (FOLLOWING, 0))
    each_T = temperature_T / max(1, pairs(groups.sizes))
    slopes_TB = (slopes[:, :, FOLLOWING:] - of_those_before(slopes, rows)).sum(dim=1).mul_(each_T.unsqueeze(1))
    return losses_TKB.sum(dim=(1, 2)).mul_(each_T * temperature_T), slopes_TB


def pairs(sizes: Sequence[int]) -> int:
    """Of rows with the FOLLOWING next ones of their group."""
    return sum(sum(range(max(0, size - FOLLOWING), size)) for size in sizes)


def following(padded: Tensor, rows: int) -> Tensor:
    """(N, B + K) -> (N, K, B) view: at [:, k, b] stands column b + 1 + k."""
    return padded.as_strided((len(padded), FOLLOWING, rows), (padded.shape[1], 1, 1), storage_offset=1)


def of_those_before(padded: Tensor, rows: int) -> Tensor:
    """(T, K, K + B), of pairs by their first row, K columns later -> (T, K, B) view, by their second row."""
    width = padded.shape[2]
    strides = (FOLLOWING * width, width - 1, 1)
    return padded.as_strided((len(padded), FOLLOWING, rows), strides, storage_offset=FOLLOWING - 1)


@torch.no_grad()
def ranks(values_TB: Tensor, groups: Groups) -> Tensor:
    """(T, B) how many rows of a row's group have a smaller value less how many have a larger one, over the number of
    the group's other rows and over that of all rows that have another one in their group. O(B log B).

    Values are compared as float32.
    """
    ascending = ascending_on_gpu if values_TB.is_cuda else ascending_on_cpu
    row_TB, value_TB = ascending(values_TB.float() + 0.0, groups.sizes)  # + 0.0, as -0.0 equals 0.0
    rank_B = rank_by_place(groups.sizes).to(values_TB)
    tied_TB = value_TB[:, 1:] == value_TB[:, :-1]
    rank_TB = shared_by_ties(rank_B, tied_TB) if tied_TB.any() else rank_B.expand(values_TB.shape)
    return torch.empty_like(values_TB).scatter_(1, row_TB.long(), rank_TB)


def ascending_on_cpu(values_TB: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """int32 (T, B), each group's rows by their values, and these values as integers of the same order.

    Both are one 64-bit integer, the value above the row, sorted by numpy: that has no places to sort along, and takes
    half of torch's time for rows of 4,096, or of 1,024 where the caches are cold, as within a step.
    """
    bits = values_TB.numpy().view(np.int32)
    row_and_value = np.empty((*bits.shape, 2), dtype=np.int32)
    row_and_value[..., 0] = np.arange(bits.shape[1], dtype=np.int32)
    row_and_value[..., 1] = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = row_and_value.view(np.int64)[..., 0]
    for last, size in zip(accumulate(sizes), sizes, strict=True):
        keys[:, last - size : last].sort(axis=1)
    rows, values = torch.from_numpy(row_and_value).unbind(-1)
    return rows, values


def ascending_on_gpu(values_TB: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The same."""
    bits = values_TB.view(torch.int32)
    rows = torch.arange(bits.shape[1], dtype=torch.int32, device=bits.device).expand(bits.shape)
    keys = torch.stack([rows, bits ^ ((bits >> 31) & 0x7FFFFFFF)], dim=-1).view(torch.int64).squeeze(-1)
    by_group = [of_group.sort(dim=1).values for of_group in torch.split(keys, list(sizes), dim=1)]
    rows, values = torch.cat(by_group, dim=1).view(torch.int32).view(*bits.shape, 2).unbind(-1)
    return rows, values


def rank_by_place(sizes: Sequence[int]) -> Tensor:
    """(B,) what `ranks` says of the rows of each group, from its smallest value to its largest."""
    paired = sum(size for size in sizes if size > 1)
    each = [np.arange(1 - size, size, 2) / (max(1, size - 1) * max(1, paired)) for size in sizes]
    return torch.from_numpy(np.concatenate([*each, np.empty(0)]))


def shared_by_ties(rank_B: Tensor, tied_TB: Tensor) -> Tensor:
    """(T, B) each head's ranks of ascending values, of which some equal the next one (T, B - 1): in a group those that
    are equal share the mean of theirs.
    """
    within = rank_B[1:] > rank_B[:-1]  # else a group starts
    tied = F.pad(tied_TB & within, (0, 1)).flatten().nonzero().squeeze(1)
    apart, end = tied.diff() != 1, tied.new_ones(1, dtype=torch.bool)
    first, last = tied[torch.cat([end, apart])], tied[torch.cat([apart, end])] + 1
    rank = rank_B.repeat(len(tied_TB))
    run = torch.repeat_interleave(last + 1 - first)
    places = torch.arange(len(run), device=run.device) + (last + 1 - (last + 1 - first).cumsum(0))[run]
    return rank.index_copy(0, places, ((rank[first] + rank[last]) / 2)[run]).view(len(tied_TB), -1)
