# ruff: noqa: N803  (shapes in names)
"""The softmax gates that mix experts for each head (Ma et al., KDD 2018). Not the release gate.

Shapes: T heads, B rows, D features, E experts.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mmoe.model.linear import Linear
from mmoe.model.mlp import Mlp


class Gates(nn.Module):
    """g_t(x) = softmax(W_t MLP_t(x) + b_t) over experts. (B, D) → (T, B, E); parameters T·(D + 1)·E without hidden."""

    def __init__(self, heads: int, width: int, hidden: Sequence[int], experts: int) -> None:
        super().__init__()
        self.hidden = Mlp(heads, width, hidden)
        self.output = Linear(heads, hidden[-1] if hidden else width, experts)

    def forward(self, features_BD: Tensor) -> Tensor:
        logits: Tensor = self.output(self.hidden(features_BD))
        return logits.softmax(dim=-1)
