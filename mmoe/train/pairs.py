# ruff: noqa: N803, N806  (shapes in names)
"""What pairwise losses need to know of all pairs inside groups, in O(B) or O(B log B).

Shapes: T heads, B rows, K rows that follow one, G groups.

These losses are small beside a step, and most of their time is the overhead of each operation: all heads and both
models' logits share operations, gradients are written down, and what is of groups, few as they are, is Python's.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmoe.errors import TrainingError

FOLLOWING = 8


class LogisticOfPairs(torch.autograd.Function):
    """See `logistic_of_pairs`. A student's gradient is τ·(σ(Δs/τ) − σ(Δt/τ)) of each of its pairs, from both sides."""

    @staticmethod
    def forward(ctx: Any, student_TB: Tensor, teacher_TB: Tensor, temperature_T: Tensor, groups_B: Tensor) -> Tensor:
        rows, beyond = len(groups_B), (0, FOLLOWING)
        groups_B, row_B = torch.sort(groups_B, stable=True)
        groups = F.pad(groups_B, beyond, value=-1).unsqueeze(0)
        same_KB = (following(groups, rows) == groups_B)[0]
        both = torch.cat([student_TB, teacher_TB]).div_(temperature_T.repeat(2).unsqueeze(1))
        both = both.index_select(1, F.pad(row_B, beyond))
        student_TKB, teacher_TKB = (both[:, :rows].unsqueeze(1) - following(both, rows)).chunk(2)
        target_TKB = teacher_TKB.sigmoid_()
        losses_TKB = F.softplus(student_TKB).addcmul_(target_TKB, student_TKB, value=-1).mul_(same_KB)
        slopes = F.pad(student_TKB.sigmoid_().sub_(target_TKB).mul_(same_KB), (FOLLOWING, 0))
        each_T = temperature_T / same_KB.sum().clamp(min=1)
        slopes_TB = (slopes[:, :, FOLLOWING:] - of_those_before(slopes, rows)).sum(dim=1).mul_(each_T.unsqueeze(1))
        ctx.save_for_backward(torch.empty_like(slopes_TB).index_copy_(1, row_B, slopes_TB))
        return losses_TKB.sum(dim=(1, 2)).mul_(each_T * temperature_T)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (slopes_TB,) = ctx.saved_tensors
        return gradients[0].unsqueeze(1) * slopes_TB, None, None, None


def logistic_of_pairs(student_TB: Tensor, teacher_TB: Tensor, temperature_T: Tensor, groups_B: Tensor) -> Tensor:
    """(T,) τ² · CE(σ(Δt/τ), σ(Δs/τ)), a mean over the pairs of each row with the FOLLOWING next rows of its group."""
    losses_T: Tensor = LogisticOfPairs.apply(  # type: ignore[no-untyped-call]
        student_TB, teacher_TB, temperature_T, groups_B
    )
    return losses_T


def following(padded: Tensor, rows: int) -> Tensor:
    """(N, B + K) -> (N, K, B) view: at [:, k, b] stands column b + 1 + k."""
    return padded.as_strided((len(padded), FOLLOWING, rows), (padded.shape[1], 1, 1), storage_offset=1)


def of_those_before(padded: Tensor, rows: int) -> Tensor:
    """(T, K, K + B), of pairs by their first row, K columns later -> (T, K, B) view, by their second row."""
    width = padded.shape[2]
    strides = (FOLLOWING * width, width - 1, 1)
    return padded.as_strided((len(padded), FOLLOWING, rows), strides, storage_offset=FOLLOWING - 1)


def group_places(values_TB: Tensor, groups_B: Tensor, groups: int) -> Tensor:
    """(T, B) place of each value, from 0 on, where those of its head stand group by group and in a group by size; equal
    values share their mean place. O(B log B).

    Values are compared as float32: as integers of the same order below their head's and group's code, and above their
    row, so that one sort of integers does it. Raises TrainingError if these need more than 63 bits.
    """
    heads, rows = values_TB.shape
    row_bits = rows.bit_length()
    head_bits = row_bits + 32 + groups.bit_length()
    if head_bits + heads.bit_length() > 63:
        raise TrainingError(f"batch_size: {rows} rows of {groups} view types are too many to rank; take fewer.")
    codes_TB, places_TB = heads_and_rows(heads, rows, head_bits, groups_B.device)
    bits = (values_TB.detach().float() + 0.0).view(torch.int32)  # + 0.0, as -0.0 equals 0.0
    codes_TB = codes_TB + (groups_B << (32 + row_bits))
    sorted_TB = sorted_integers(codes_TB.add_(bits ^ ((bits >> 31) & 0x7FFFFFFF), alpha=1 << row_bits))
    values = (sorted_TB >> row_bits).flatten()
    if (values[1:] == values[:-1]).any():  # seldom, and dear to look after
        places_TB = mean_places(values).view(heads, rows) - places_TB.new_tensor(
            [[head * rows] for head in range(heads)]
        )
    return torch.empty_like(places_TB).scatter_(1, sorted_TB & ((1 << row_bits) - 1), places_TB)


@lru_cache(maxsize=8)
def heads_and_rows(heads: int, rows: int, head_bits: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(T, B) each head's and row's part of a sort key, and (T, B) the places 0 … B − 1."""
    head_T1, row_B = (torch.arange(count, device=device) for count in (heads, rows))
    return (head_T1.unsqueeze(1) << head_bits) + row_B, row_B.float().repeat(heads, 1)


def mean_places(ascending: Tensor) -> Tensor:
    """(N,) place of each value; equal ones share the mean of theirs."""
    _, run, lengths = torch.unique_consecutive(ascending, return_inverse=True, return_counts=True)
    middles: Tensor = lengths.cumsum(0) - (lengths + 1) / 2
    return middles[run]


def sorted_integers(keys: Tensor) -> Tensor:
    """Ascending along the last dimension. On a CPU by numpy, which has no places to sort along: half of torch's time
    for rows of 4,096, or of 1,024 where the caches are cold, as within a step.
    """
    return torch.sort(keys).values if keys.is_cuda else torch.from_numpy(np.sort(keys.numpy()))
