# ruff: noqa: N803  (shapes in names)
"""The MLP expert, also the deep part of the others. C copies, B rows, D inputs, H outputs."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mmoe.model.linear import Linear


class Mlp(nn.Module):
    """h ← Dropout(ReLU(W h + b)), once for each width. (C, B, D), or (B, D) for all copies, → (C, B, widths[-1]); the
    identity without widths.

    Parameters: C·Σ (width_{i-1} + 1)·width_i with width_0 = D.
    """

    def __init__(self, copies: int, inputs: int, widths: Sequence[int], *, dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [inputs, *widths]
        self.layers = nn.ModuleList(Linear(copies, i, o) for i, o in pairwise(sizes))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_CBD: Tensor) -> Tensor:
        h = x_CBD
        for layer in self.layers:
            h = self.dropout(layer(h, relu=True))
        return h
