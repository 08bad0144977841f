# ruff: noqa: N803  (shapes in names)
"""FinalMLP: two MLP streams, each on its own selection of features, fused bilinearly (Mao et al., AAAI 2023, arXiv
2304.00902).

Shapes: C copies, B rows, D features, G columns that a gate reads, A its hidden width, K fusion heads, H outputs,
L and R outputs of the first and the second stream.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmoe.model.linear import Linear, xavier_uniform_
from mmoe.model.mlp import Mlp

CONTEXT = 16
FUSION_HEADS = 8


class FeatureGate(nn.Module):
    """x ⊙ 2σ(W₂ ReLU(W₁ c + b₁) + b₂), W₁ to A numbers. (C, B, D) → (C, B, D).

    The context c is the row's own values in the G `columns`, such as a user's embeddings; without columns it is 16
    learned numbers, the same for every row. Parameters: C·(A·(G + 1) + (A + 1)·D), or C·(16 + 17·A + (A + 1)·D).
    """

    columns: Tensor

    def __init__(self, copies: int, width: int, columns: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.int64), persistent=False)
        self.context = None if columns else nn.Parameter(torch.randn(copies, 1, CONTEXT))
        self.hidden = Linear(copies, len(columns) or CONTEXT, hidden)
        self.output = Linear(copies, hidden, width)

    def forward(self, x_CBD: Tensor) -> Tensor:
        context = x_CBD.index_select(2, self.columns) if self.context is None else self.context.to(x_CBD.dtype)
        logits: Tensor = self.output(self.hidden(context).relu())
        return x_CBD * (2 * logits.sigmoid())


class BilinearFusion(nn.Module):
    """b + w₁ᵀo₁ + w₂ᵀo₂ + Σ_k o₁ₖᵀ W_k o₂ₖ, each output unit with its own weights. (C, B, L), (C, B, R) → (C, B, H).

    Each stream is cut into K chunks. Parameters: C·H·(1 + L + R + L·R/K). The W_k start Xavier-uniform for the L·R/K
    products that an output sums.
    """

    def __init__(self, copies: int, left: int, right: int, outputs: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.left = Linear(copies, left, outputs)
        self.right = Linear(copies, right, outputs, bias=False)
        self.cross = Linear(copies * heads, left // heads, outputs * (right // heads), bias=False)
        xavier_uniform_(self.cross.weight, left * right // heads, outputs)

    def forward(self, left_CBL: Tensor, right_CBR: Tensor) -> Tensor:
        copies, rows, width = left_CBL.shape
        chunk = right_CBR.shape[2] // self.heads
        left = left_CBL.view(copies, rows, self.heads, width // self.heads, 1)
        right = right_CBR.view(copies, rows, self.heads, 1, chunk)
        outer = (left * right).view(copies, rows, -1)
        bilinear = torch.bmm(outer, self.by_outer_product(chunk, outer.dtype))
        fused: Tensor = self.left(left_CBL) + self.right(right_CBR) + bilinear
        return fused

    def by_outer_product(self, chunk: int, dtype: torch.dtype) -> Tensor:
        """The W_k as (C, L·R/K, H), for one product with all chunks' outer products side by side."""
        weight = self.cross.weight.to(dtype)
        by_pair = weight.view(*weight.shape[:2], -1, chunk).transpose(2, 3)
        return by_pair.reshape(weight.shape[0] // self.heads, -1, by_pair.shape[3])


class FinalMlp(nn.Module):
    """Two gated streams of dense layers and their fusion. (C, B, D) → (C, B, H).

    `gate_columns` are what each stream's gate reads of the D; none: a learned context. The second stream has the widths
    `second`. Without `heads`, as many as divide both streams' outputs, up to 8.
    """

    def __init__(
        self,
        copies: int,
        width: int,
        *,
        hidden: Sequence[int],
        second: Sequence[int],
        gate_columns: Sequence[Sequence[int]],
        gate_hidden: int,
        heads: int | None,
        outputs: int,
        dropout: float,
        normalized: bool = False,
    ) -> None:
        super().__init__()
        streams = hidden[-1], second[-1]
        self.gates = nn.ModuleList(FeatureGate(copies, width, columns, gate_hidden) for columns in gate_columns)
        self.streams = nn.ModuleList(
            Mlp(copies, width, widths, dropout=dropout, normalized=normalized) for widths in (hidden, second)
        )
        self.fusion = BilinearFusion(copies, *streams, outputs, heads or math.gcd(FUSION_HEADS, *streams))

    def forward(self, x_CBD: Tensor) -> Tensor:
        left, right = (stream(gate(x_CBD)) for gate, stream in zip(self.gates, self.streams, strict=True))
        fused: Tensor = self.fusion(left, right)
        return fused
