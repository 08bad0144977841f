# ruff: noqa: N803  (shapes in names)
"""One small tower per head, from the head's mixture of experts to its logit.

Shapes: T heads, V view types, B rows, H inputs.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mmoe.model.linear import Linear
from mmoe.model.mlp import Mlp
from mmoe.model.views import of_view_type


class Towers(nn.Module):
    """(T, B, H) → (T, B) float32 logits, w_tᵀ MLP_t(h_t) + b_t, the last product in float32. With view types, a tower
    for each head and view type, of which a row takes its own: V times the parameters and FLOPs. A mixture of one number
    and no dense layer: w_t starts at 1, as such a number is a logit already, whose pace a random factor would set.
    """

    def __init__(
        self, heads: int, width: int, hidden: Sequence[int], dropout: float, *, view_types: int | None = None
    ) -> None:
        super().__init__()
        self.heads, self.view_types = heads, view_types
        copies = heads * (view_types or 1)
        self.hidden = Mlp(copies, width, hidden, dropout=dropout)
        self.deep = bool(hidden)
        """Whether the mixtures go through more than the last product."""
        self.output = Linear(copies, hidden[-1] if hidden else width, 1)
        if width == 1 and not hidden:
            nn.init.ones_(self.output.weight)

    def forward(self, mixtures_TBH: Tensor, view_type_B: Tensor) -> Tensor:
        if self.view_types is None:
            logits: Tensor = self.output(self.hidden(mixtures_TBH).float())
        else:
            every = mixtures_TBH.repeat_interleave(self.view_types, dim=0)
            logits = of_view_type(self.output(self.hidden(every).float()), view_type_B, self.heads)
        return logits.squeeze(-1)
