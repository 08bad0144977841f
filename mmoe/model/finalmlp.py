# ruff: noqa: N803  (shapes in names)
"""FinalMLP: two MLP streams, each on its own selection of features, fused bilinearly (Mao et al., AAAI 2023, arXiv
2304.00902).

Shapes: C copies, B rows, D features, G columns that a gate reads, K fusion heads, H outputs.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmoe.model.linear import Linear
from mmoe.model.mlp import Mlp

CONTEXT = 16
FUSION_HEADS = 8


class FeatureGate(nn.Module):
    """x ⊙ 2σ(W₂ ReLU(W₁ c + b₁) + b₂), W₁ to 16 numbers. (C, B, D) → (C, B, D).

    The context c is the row's own values in the G `columns`, such as a user's embeddings; without columns it is 16
    learned numbers, the same for every row. Parameters: C·(16·(G + 1) + 17·D), or C·(16 + 16·17 + 17·D).
    """

    columns: Tensor

    def __init__(self, copies: int, width: int, columns: Sequence[int] = ()) -> None:
        super().__init__()
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.int64), persistent=False)
        self.context = None if columns else nn.Parameter(torch.randn(copies, 1, CONTEXT))
        self.hidden = Linear(copies, len(columns) or CONTEXT, CONTEXT)
        self.output = Linear(copies, CONTEXT, width)

    def forward(self, x_CBD: Tensor) -> Tensor:
        context = x_CBD.index_select(2, self.columns) if self.context is None else self.context.to(x_CBD.dtype)
        logits: Tensor = self.output(self.hidden(context).relu())
        return x_CBD * (2 * logits.sigmoid())


class BilinearFusion(nn.Module):
    """b + w₁ᵀo₁ + w₂ᵀo₂ + Σ_k o₁ₖᵀ W_k o₂ₖ, each output unit with its own weights. Two (C, B, H) → (C, B, H).

    Each stream is cut into K = gcd(8, H) chunks. Parameters: C·(H + 2·H² + H³/K).
    """

    def __init__(self, copies: int, width: int) -> None:
        super().__init__()
        self.heads = math.gcd(FUSION_HEADS, width)
        self.left = Linear(copies, width, width)
        self.right = Linear(copies, width, width, bias=False)
        chunk = width // self.heads
        self.cross = Linear(copies * self.heads, chunk, width * chunk, bias=False)

    def forward(self, left_CBH: Tensor, right_CBH: Tensor) -> Tensor:
        copies, rows, width = left_CBH.shape
        chunk = width // self.heads
        left = left_CBH.view(copies, rows, self.heads, chunk, 1)
        right = right_CBH.view(copies, rows, self.heads, 1, chunk)
        outer = (left * right).view(copies, rows, -1)
        bilinear = torch.bmm(outer, self.by_outer_product(chunk, outer.dtype))
        fused: Tensor = self.left(left_CBH) + self.right(right_CBH) + bilinear
        return fused

    def by_outer_product(self, chunk: int, dtype: torch.dtype) -> Tensor:
        """The W_k as (C, K·chunk·chunk, H), for one product with all chunks' outer products side by side."""
        weight = self.cross.weight.to(dtype)
        by_pair = weight.view(weight.shape[0], chunk, -1, chunk).transpose(2, 3)
        return by_pair.reshape(weight.shape[0] // self.heads, self.heads * chunk * chunk, -1)


class FinalMlp(nn.Module):
    """Two gated streams of dense layers and their fusion. (C, B, D) → (C, B, H).

    `gate_columns` are what each stream's gate reads of the D; none: a learned context.
    """

    def __init__(
        self,
        copies: int,
        width: int,
        *,
        hidden: Sequence[int],
        dropout: float,
        gate_columns: Sequence[Sequence[int]] = ((), ()),
    ) -> None:
        super().__init__()
        self.gates = nn.ModuleList(FeatureGate(copies, width, columns) for columns in gate_columns)
        self.streams = nn.ModuleList(Mlp(copies, width, hidden, dropout=dropout) for _ in range(2))
        self.fusion = BilinearFusion(copies, hidden[-1])

    def forward(self, x_CBD: Tensor) -> Tensor:
        left, right = (stream(gate(x_CBD)) for gate, stream in zip(self.gates, self.streams, strict=True))
        fused: Tensor = self.fusion(left, right)
        return fused
