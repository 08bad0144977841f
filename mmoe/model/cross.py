# ruff: noqa: N803, N806  (shapes in names)
"""DCN-V2: explicit feature crosses of bounded degree (Wang et al., WWW 2021, arXiv 2008.13535).

Shapes: C copies, B rows, D features, R rank of a low-rank cross, M crosses in a mixture, H outputs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmoe.model.linear import Linear
from mmoe.model.mlp import Mlp


class ResidualProduct(torch.autograd.Function):
    """x + x₀ ⊙ u, with the two products that its gradient needs; addcmul's own takes four."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, x0: Tensor, u: Tensor) -> Tensor:
        ctx.save_for_backward(x0, u)
        return torch.addcmul(x, x0, u)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x0, u = ctx.saved_tensors
        (gradient,) = gradients
        return gradient, gradient * u, gradient * x0


def residual_product(x: Tensor, x0: Tensor, u: Tensor) -> Tensor:
    """x + x₀ ⊙ u, all of one shape."""
    result: Tensor = ResidualProduct.apply(x, x0, u)  # type: ignore[no-untyped-call]
    return result


class Cross(nn.Module):
    """One cross layer, x₊ = x₀ ⊙ (W x + b) + x; with a rank, W = U Vᵀ. (C, B, D), (C, B, D) → (C, B, D).

    Columns beyond D, of ones and then of zeros (see Linear), stay what they are.
    Parameters: C·(D² + D), or C·(2·D·R + D) with a rank.
    """

    def __init__(self, copies: int, width: int, rank: int | None = None) -> None:
        super().__init__()
        self.down = None if rank is None else Linear(copies, width, rank, bias=False)
        self.up = Linear(copies, width if rank is None else rank, width)

    def forward(self, x0_CBD: Tensor, x_CBD: Tensor) -> Tensor:
        projected = self.up(x_CBD if self.down is None else self.down(x_CBD), outputs=x_CBD.shape[-1])
        return residual_product(x_CBD, x0_CBD, projected)


class MixtureCross(nn.Module):
    """A mixture of low-rank crosses, x₊ = x₀ ⊙ (Σ_m g_m(x) · U_m tanh(C_m tanh(V_mᵀ x)) + b) + x, g = softmax(G x).

    (C, B, D), (C, B, D) → (C, B, D). As each gate is one number a row, Σ_m g_m U_m h_m is one product with all U_m
    side by side. Parameters: C·(M·(2·D·R + R² + D) + D); the bias is shared by the mixture, as in the paper.
    """

    def __init__(self, copies: int, width: int, rank: int, mixture: int) -> None:
        super().__init__()
        self.mixture, self.rank = mixture, rank
        self.gate = Linear(copies, width, mixture, bias=False)
        self.down = Linear(copies, width, mixture * rank, bias=False)
        self.core = Linear(copies * mixture, rank, rank, bias=False)
        self.up = Linear(copies, mixture * rank, width)

    def forward(self, x0_CBD: Tensor, x_CBD: Tensor) -> Tensor:
        copies, rows, _ = x_CBD.shape
        gate_CBM1 = self.gate(x_CBD).softmax(dim=-1).unsqueeze(-1)
        down = self.down(x_CBD).tanh().view(copies, rows, self.mixture, self.rank)
        core = self.core(down.transpose(1, 2).reshape(copies * self.mixture, rows, self.rank)).tanh()
        core_CBMR = core.view(copies, self.mixture, rows, self.rank).transpose(1, 2)
        projected = self.up((gate_CBM1 * core_CBMR).flatten(2), outputs=x_CBD.shape[-1])
        return residual_product(x_CBD, x0_CBD, projected)


class Dcn(nn.Module):
    """`layers` crosses and dense layers. (C, B, D) → (C, B, H).

    The first `full_layers` crosses are full rank, the others as `rank` and `mixture` say. Stacked, the dense layers
    read the last cross; in parallel, they read x₀, and the last of them reads both: h = ReLU(W [x_L ; MLP(x₀)] + b).
    """

    def __init__(
        self,
        copies: int,
        width: int,
        *,
        layers: int,
        rank: int | None = None,
        mixture: int = 1,
        full_layers: int = 0,
        parallel: bool = False,
        hidden: Sequence[int],
        dropout: float,
        normalized: bool = False,
    ) -> None:
        super().__init__()
        self.width = width
        ranks = [None if layer < full_layers else rank for layer in range(layers)]
        self.crosses = nn.ModuleList(build_cross(copies, width, each, mixture) for each in ranks)
        beside = hidden[:-1] if parallel else ()
        self.beside = Mlp(copies, width, beside, dropout=dropout, normalized=normalized) if parallel else None
        inputs = width + (beside or [width])[-1] if parallel else width
        self.deep = Mlp(copies, inputs, hidden[len(beside) :], dropout=dropout, normalized=normalized)

    def forward(self, x0_CBD: Tensor) -> Tensor:
        x = x0_CBD
        for cross in self.crosses:
            x = cross(x0_CBD, x)
        if self.beside is not None:
            features, beyond = torch.tensor_split(x, [self.width], dim=-1)
            x = torch.cat([features, self.beside(x0_CBD), beyond], dim=-1)
        deep: Tensor = self.deep(x)
        return deep


def build_cross(copies: int, width: int, rank: int | None, mixture: int) -> nn.Module:
    """A full-rank cross without a rank, a low-rank one with it, several of them mixed where `mixture` is above 1."""
    if rank is None or mixture == 1:
        return Cross(copies, width, rank)
    return MixtureCross(copies, width, rank, mixture)
