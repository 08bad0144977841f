# ruff: noqa: N803  (shapes in names)
"""The softmax gates that mix experts for each head (Ma et al., KDD 2018). Not the release gate.

Shapes: T heads, V view types, B rows, G gate inputs, E experts.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmoe.model.linear import Linear
from mmoe.model.mlp import Mlp
from mmoe.model.views import of_view_type


class Gates(nn.Module):
    """g_t(x) = softmax(W_t MLP_t(x) + b_t) over experts. (B, G) → (T, B, E); parameters T·(G + 1)·E without hidden.

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
        return logits.softmax(dim=-1)


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
