"""Rows of an embedding table, out of it and into it, at random places of memory. What the CPU then waits for is memory:
its time halves where the next rows are fetched before they are used, and where a row is moved whole.

Shapes: N distinct or repeated rows, R rows of the table, W its width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class RowsOf(torch.autograd.Function):
    """table (R, W), rows (N,) → (N, W), with a sparse gradient that is not summed yet, as F.embedding's."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.shape = table.shape
        return taken(table.detach(), rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        sparse = torch.sparse_coo_tensor(rows.unsqueeze(0), gradients[0], ctx.shape, check_invariants=False)
        return sparse, None


def look_up(table: Tensor, rows: Tensor) -> Tensor:
    """table (R, W), rows of any shape → (rows' shape, W); the table's gradient is sparse."""
    if not table.is_cpu:
        return F.embedding(rows, table, sparse=True)
    found: Tensor = RowsOf.apply(table, rows.flatten())  # type: ignore[no-untyped-call]
    return found.view(*rows.shape, table.shape[1])


def taken(table: Tensor, rows: Tensor) -> Tensor:
    """table (R, W), rows (N,) → (N, W). On a CPU as bags of one row each, whose kernel fetches rows ahead."""
    if not table.is_cpu:
        return table.index_select(0, rows)
    return F.embedding_bag(rows, table, torch.arange(len(rows)), mode="sum")


def put(table: Tensor, rows: Tensor, values: Tensor) -> None:
    """table[rows] = values, of distinct rows (N,) and values (N, W), in place and unknown to autograd."""
    if not table.is_cpu:
        table.index_copy_(0, rows, values)
        return
    whole_row = f"V{values.shape[1] * values.itemsize}"
    into, of = (each.detach().numpy().view(whole_row).squeeze(1) for each in (table, values))
    into[rows.numpy()] = of
