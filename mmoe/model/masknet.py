# ruff: noqa: N803  (shapes in names)
"""MaskNet: feature-wise products by instance-guided masks (Wang et al., DLP-KDD 2021, arXiv 2102.07619).

Shapes: C copies, B rows, D features, L blocks, W width of a block, H outputs.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mmoe.model.linear import Linear
from mmoe.model.mlp import Mlp
from mmoe.model.norms import LayerNorm


class MaskBlock(nn.Module):
    """ReLU(LN(W (mask ⊙ h))) with mask = W₂ ReLU(W₁ v + b₁) + b₂. v (C, B, D), h (C, B, inputs) → (C, B, W).

    The aggregation layer W₁ is as wide as the output. Parameters:
    C·[(D + 1)·W + (W + 1)·inputs + inputs·W + 2·W].
    """

    def __init__(self, copies: int, features: int, inputs: int, width: int) -> None:
        super().__init__()
        self.aggregate = Linear(copies, features, width)
        self.project = Linear(copies, width, inputs)
        self.hidden = Linear(copies, inputs, width, bias=False)
        self.norm = LayerNorm(copies, width)

    def forward(self, v_CBD: Tensor, h: Tensor) -> Tensor:
        mask = self.project(self.aggregate(v_CBD).relu())
        normed: Tensor = self.norm(self.hidden(mask * h))
        return normed.relu()


class MaskNet(nn.Module):
    """The serial form: `layers` mask blocks of width hidden[0], then dense layers hidden[1:]. (C, B, D) → (C, B, H).

    Every mask is driven by the features themselves. The features are normalised over their whole width, since
    fields differ in width here (the paper normalises each field's embedding).
    """

    def __init__(
        self, copies: int, width: int, *, layers: int, hidden: Sequence[int], dropout: float, normalized: bool = False
    ) -> None:
        super().__init__()
        self.norm = LayerNorm(copies, width)
        inputs = [width] + [hidden[0]] * (layers - 1)
        self.blocks = nn.ModuleList(MaskBlock(copies, width, size, hidden[0]) for size in inputs)
        self.deep = Mlp(copies, hidden[0], hidden[1:], dropout=dropout, normalized=normalized)

    def forward(self, v_CBD: Tensor) -> Tensor:
        h = self.norm(v_CBD)
        for block in self.blocks:
            h = block(v_CBD, h)
        deep: Tensor = self.deep(h)
        return deep


class ParallelMaskNet(nn.Module):
    """The parallel form: `layers` mask blocks of width hidden[0] side by side on the normalised features, then dense
    layers hidden[1:] on all their outputs. (C, B, D) → (C, B, H).

    The blocks are alike, so they run as one block of C·L copies. Parameters: 2·C·D + C·L·block + dense layers from L·W.
    """

    def __init__(
        self, copies: int, width: int, *, layers: int, hidden: Sequence[int], dropout: float, normalized: bool = False
    ) -> None:
        super().__init__()
        self.layers = layers
        self.norm = LayerNorm(copies, width)
        self.blocks = MaskBlock(copies * layers, width, width, hidden[0])
        self.deep = Mlp(copies, layers * hidden[0], hidden[1:], dropout=dropout, normalized=normalized)

    def forward(self, v_CBD: Tensor) -> Tensor:
        copies, rows, _ = v_CBD.shape
        blocks = self.blocks(*(x.repeat_interleave(self.layers, dim=0) for x in (v_CBD, self.norm(v_CBD))))
        side_by_side = blocks.view(copies, self.layers, rows, -1).transpose(1, 2).flatten(2)
        deep: Tensor = self.deep(side_by_side)
        return deep
