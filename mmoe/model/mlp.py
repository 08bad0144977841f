# ruff: noqa: N803  (shapes in names)
"""The MLP expert, also the deep part of the others. C copies, B rows, D inputs, H outputs."""

from collections.abc import Sequence
from itertools import pairwise, repeat

from torch import Tensor, nn

from mmoe.model.linear import Linear
from mmoe.model.norms import BatchNorm


class Mlp(nn.Module):
    """h ← Dropout(ReLU(W h + b)), once for each width. (C, B, D), or (B, D) for all copies, → (C, B, widths[-1]); the
    identity without widths. Normalised, h ← Dropout(ReLU(BN(W h))): the norm takes the bias's effect away, and has one.

    Parameters: C·Σ (width_{i-1} + 1)·width_i with width_0 = D; normalised, C·Σ (width_{i-1} + 2)·width_i.
    """

    def __init__(
        self, copies: int, inputs: int, widths: Sequence[int], *, dropout: float = 0.0, normalized: bool = False
    ) -> None:
        super().__init__()
        sizes = [inputs, *widths]
        self.layers = nn.ModuleList(Linear(copies, i, o, bias=not normalized) for i, o in pairwise(sizes))
        self.norms = nn.ModuleList(BatchNorm(copies, width) for width in widths) if normalized else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_CBD: Tensor) -> Tensor:
        h = x_CBD
        for layer, norm in zip(self.layers, self.norms or repeat(None)):  # noqa: B905  (the latter has no end)
            h = self.dropout(layer(h, relu=True) if norm is None else norm(layer(h)).relu_())
        return h
