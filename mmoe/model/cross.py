# ruff: noqa: N803  (shapes in names)
"""DCN-V2: explicit feature crosses of bounded degree (Wang et al., WWW 2021).

Shapes: C copies, B rows, D features, R rank of a low-rank cross, H outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmoe.model.linear import Linear
from mmoe.model.mlp import Mlp


class Cross(nn.Module):
    """One cross layer, x₊ = x₀ ⊙ (W x + b) + x; with a rank, W = U Vᵀ. (C, B, D), (C, B, D) → (C, B, D).

    Parameters: C·(D² + D), or C·(2·D·R + D) with a rank.
    """

    def __init__(self, copies: int, width: int, rank: int | None = None) -> None:
        super().__init__()
        self.down = None if rank is None else Linear(copies, width, rank, bias=False)
        self.up = Linear(copies, width if rank is None else rank, width)

    def forward(self, x0_CBD: Tensor, x_CBD: Tensor) -> Tensor:
        projected = self.up(x_CBD if self.down is None else self.down(x_CBD))
        return torch.addcmul(x_CBD, x0_CBD, projected)


class Dcn(nn.Module):
    """The stacked form: `layers` crosses, then dense layers. (C, B, D) → (C, B, H)."""

    def __init__(
        self, copies: int, width: int, *, layers: int, rank: int | None, hidden: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.crosses = nn.ModuleList(Cross(copies, width, rank) for _ in range(layers))
        self.deep = Mlp(copies, width, hidden, dropout=dropout)

    def forward(self, x0_CBD: Tensor) -> Tensor:
        x = x0_CBD
        for cross in self.crosses:
            x = cross(x0_CBD, x)
        deep: Tensor = self.deep(x)
        return deep
