# ruff: noqa: N803  (shapes in names)
"""One small tower per head, from the head's mixture of experts to its logit. T heads, B rows, H inputs."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmoe.model.linear import Linear
from mmoe.model.mlp import Mlp


class Towers(nn.Module):
    """(T, B, H) → (T, B) logits."""

    def __init__(self, heads: int, width: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.hidden = Mlp(heads, width, hidden, dropout=dropout)
        self.output = Linear(heads, hidden[-1] if hidden else width, 1)

    def forward(self, mixtures_TBH: Tensor) -> Tensor:
        logits: Tensor = self.output(self.hidden(mixtures_TBH))
        return logits.squeeze(-1)
