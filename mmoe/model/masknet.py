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

    The aggregation layer W₁ gives A numbers. Of the result training drops the share `dropout`. Parameters:
    C·[(D + 1)·A + (A + 1)·inputs + inputs·W + 2·W].
    """

    def __init__(self, copies: int, features: int, inputs: int, width: int, mask_hidden: int, dropout: float) -> None:
        super().__init__()
        self.aggregate = Linear(copies, features, mask_hidden)
        self.project = Linear(copies, mask_hidden, inputs)
        self.hidden = Linear(copies, inputs, width, bias=False)
        self.norm = LayerNorm(copies, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, v_CBD: Tensor, h: Tensor) -> Tensor:
        mask = self.project(self.aggregate(v_CBD).relu())
        result: Tensor = self.dropout(self.norm(self.hidden(mask * h)).relu())
        return result


class MaskNet(nn.Module):
    """The serial form: `layers` mask blocks of width hidden[0], then dense layers hidden[1:]. (C, B, D) → (C, B, H).

    Every mask is driven by the features themselves. What the first one acts on is normalised over its whole width,
    since fields differ in width here (the paper normalises each field's embedding); without `feature_norm` it is not.
    Masks have a hidden layer of `mask_hidden` numbers, or as wide as a block.
    """

    def __init__(
        self,
        copies: int,
        width: int,
        *,
        layers: int,
        hidden: Sequence[int],
        dropout: float,
        mask_hidden: int | None = None,
        feature_norm: bool = True,
        block_dropout: float = 0.0,
        normalized: bool = False,
    ) -> None:
        super().__init__()
        self.norm = LayerNorm(copies, width) if feature_norm else None
        inputs = [width] + [hidden[0]] * (layers - 1)
        self.blocks = nn.ModuleList(
            MaskBlock(copies, width, size, hidden[0], mask_hidden or hidden[0], block_dropout) for size in inputs
        )
        self.deep = Mlp(copies, hidden[0], hidden[1:], dropout=dropout, normalized=normalized)

    def forward(self, v_CBD: Tensor) -> Tensor:
        h = v_CBD if self.norm is None else self.norm(v_CBD)
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
        self,
        copies: int,
        width: int,
        *,
        layers: int,
        hidden: Sequence[int],
        dropout: float,
        mask_hidden: int | None = None,
        feature_norm: bool = True,
        block_dropout: float = 0.0,
        normalized: bool = False,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.norm = LayerNorm(copies, width) if feature_norm else None
        self.blocks = MaskBlock(copies * layers, width, width, hidden[0], mask_hidden or hidden[0], block_dropout)
        self.deep = Mlp(copies, layers * hidden[0], hidden[1:], dropout=dropout, normalized=normalized)

    def forward(self, v_CBD: Tensor) -> Tensor:
        copies, rows, _ = v_CBD.shape
        h = v_CBD if self.norm is None else self.norm(v_CBD)
        blocks = self.blocks(*(x.repeat_interleave(self.layers, dim=0) for x in (v_CBD, h)))
        side_by_side = blocks.view(copies, self.layers, rows, -1).transpose(1, 2).flatten(2)
        deep: Tensor = self.deep(side_by_side)
        return deep
