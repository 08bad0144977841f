# ruff: noqa: N803, N806  (shapes in names)
"""The softmax gates that mix experts for each head (Ma et al., KDD 2018). Not the release gate.

Shapes: T heads, V view types, B rows, G gate inputs, E experts, H expert outputs.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmoe.model.linear import Linear
from mmoe.model.mlp import Mlp
from mmoe.model.views import of_view_type


class Gates(nn.Module):
    """g_t(x) = softmax(W_t MLP_t(x) + b_t) over experts. (B, G) → (T, B, E) float32. Parameters T·(G + 1)·E without
    hidden.

    With view types, a gate for each head and view type, of which a row takes its own: V times the parameters and FLOPs.
    """

    def __init__(
        self,
        heads: int,
        width: int,
        hidden: Sequence[int],
        experts: int,
        *,
        view_types: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.by_view_type, self.dropout = heads, view_types is not None, dropout
        copies = heads * (view_types or 1)
        self.hidden = Mlp(copies, width, hidden)
        self.output = Linear(copies, hidden[-1] if hidden else width, experts)

    def forward(self, x_BG: Tensor, view_type_B: Tensor) -> Tensor:
        logits: Tensor = self.output(self.hidden(x_BG))
        if self.by_view_type:
            logits = of_view_type(logits, view_type_B, self.heads)
        if self.training and self.dropout:
            logits = drop_experts(logits, self.dropout)
        experts_apart = logits.transpose(1, 2)  # over a few neighbours a softmax is ten times slower
        return experts_apart.softmax(dim=1, dtype=torch.float32).transpose(1, 2).contiguous()


class Mixture(torch.autograd.Function):
    """(T, B, E) gates, (E, B, H) experts → (T, B, H) of the experts' dtype, Σ_e g_te ⊙ expert_e, summed in the gates'.
    The experts' gradient is summed head by head in their own layout; einsum's makes B tiny products of it, five times
    as slow.
    """

    @staticmethod
    def forward(ctx: Any, gates_TBE: Tensor, experts_EBH: Tensor) -> Tensor:
        ctx.save_for_backward(gates_TBE, experts_EBH)
        mixtures_TBH = torch.einsum("tbe,ebh->tbh", gates_TBE, experts_EBH.to(gates_TBE.dtype))
        return mixtures_TBH.to(experts_EBH.dtype, memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gates_TBE, experts_EBH = ctx.saved_tensors
        gradient_TBH = gradients[0].to(gates_TBE.dtype)
        of_experts = torch.empty_like(experts_EBH)
        for of_expert, gates_TB in zip(of_experts, gates_TBE.unbind(dim=2), strict=True):
            sum_BH = torch.zeros_like(gradient_TBH[0])
            for gates_B, gradient_BH in zip(gates_TB, gradient_TBH, strict=True):
                sum_BH.addcmul_(gates_B.unsqueeze(1), gradient_BH)
            of_expert.copy_(sum_BH)
        return torch.einsum("tbh,ebh->tbe", gradient_TBH, experts_EBH.to(gates_TBE.dtype)), of_experts


def mixed(gates_TBE: Tensor, experts_EBH: Tensor) -> Tensor:
    """Each head's mixture of the experts (T, B, H)."""
    mixtures: Tensor = Mixture.apply(gates_TBE, experts_EBH)  # type: ignore[no-untyped-call]
    return mixtures


def drop_experts(logits_TBE: Tensor, share: float) -> Tensor:
    """Take experts out of a softmax at random, row by row; the others' weights still sum to 1 (Zhao et al., RecSys
    2019). A row that would lose every expert keeps them all.
    """
    dropped = torch.rand_like(logits_TBE) < share
    dropped &= ~dropped.all(dim=-1, keepdim=True)
    return logits_TBE.masked_fill(dropped, -torch.inf)


def entropy(weights: Tensor) -> Tensor:
    """(…, E) weights → (…) their entropy over log E: 0 where one expert has all the weight, 1 where all have alike."""
    return shannon(weights) / math.log(weights.shape[-1])


def effective_experts(mean_weights: Tensor) -> Tensor:
    """(…, E) mean weights → (…) exp of their entropy: E experts of equal use count as E, one expert alone as 1."""
    return shannon(mean_weights).exp()


def shannon(weights: Tensor) -> Tensor:
    terms: Tensor = torch.special.entr(weights)
    return terms.sum(dim=-1)
