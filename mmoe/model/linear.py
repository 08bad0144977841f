"""C linear layers of one shape as one batched matrix product.

Shapes: C copies (experts, heads or gates), B batch rows, I inputs, O outputs.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ALIGNMENT = 16
"""float32 numbers of a cache line."""
NARROW = 32
"""Outputs up to which a product is made transposed."""


def aligned(width: int) -> int:
    """The next multiple of 16. A matrix product writes rows that start on a cache line up to 1.8 times as fast."""
    return -(-width // ALIGNMENT) * ALIGNMENT


def xavier_uniform_(weight: Tensor, inputs: int, outputs: int) -> None:
    """Draw from ±√(6 / (inputs + outputs)), what one output sums and what one input feeds (Glorot and Bengio 2010)."""
    bound = (6 / (inputs + outputs)) ** 0.5
    nn.init.uniform_(weight, -bound, bound)


class SharedProduct(torch.autograd.Function):
    """x (B, I), weight (C, I, O), bias (C, 1, O) or None → (C, B, O), ReLU'd if asked: one product of all copies.

    Result and gradients are contiguous, as products that read strided copies take up to five times as long; copies are
    laid together again by the pass that computes the ReLU's gradient. Products of few outputs are made transposed,
    which is up to four times as fast.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
        copies, _, width = weight.shape
        flat = weight.transpose(0, 1).flatten(1)
        joined = (flat.t() @ x.t()).t() if copies * width <= NARROW else x @ flat
        joined = joined if bias is None else joined.add_(bias.flatten())
        result = joined.reshape(-1, copies, width).transpose(0, 1).contiguous()
        result = result.relu_() if relu else result
        ctx.save_for_backward(x, flat, *([result] if relu else []))
        ctx.biased = bias is not None
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        x, flat, *results = ctx.saved_tensors
        (gradient,) = gradients
        copies, rows, width = gradient.shape
        joined = gradient.new_empty(rows, copies * width)
        apart = joined.view(rows, copies, width).transpose(0, 1)
        if results:
            torch.ops.aten.threshold_backward.grad_input(gradient, results[0], 0, grad_input=apart)
        else:
            apart.copy_(gradient)
        of_flat = (joined.t() @ x).t() if copies * width <= NARROW else x.t() @ joined
        of_weight = of_flat.reshape(-1, copies, width).transpose(0, 1)
        of_bias = (joined.new_ones(1, rows) @ joined).view(copies, 1, width) if ctx.biased else None
        return joined @ flat.t(), of_weight, of_bias, None


class Linear(nn.Module):
    """y_c = x_c W_c + b_c for every copy c, computed in the dtype of x.

    (C, B, I) → (C, B, O), or (B, I) → (C, B, O) where all copies read the same x. Parameters: C·(I·O + O), or
    C·I·O without bias; Xavier-uniform weights, zero bias.

    x may have columns beyond I (see `aligned`), the first of ones and the others of zeros: the bias is then one more
    row of the weights, and part of the product. With `outputs` the result has as many columns, zeros beyond O. With
    `relu`, negative results are 0.
    """

    def __init__(self, copies: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(copies, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(copies, 1, outputs)) if bias else None
        xavier_uniform_(self.weight, inputs, outputs)

    def forward(self, x: Tensor, outputs: int | None = None, *, relu: bool = False) -> Tensor:
        weight, bias = self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype)
        _, rows, columns = weight.shape
        below, beside = x.shape[-1] - rows, (outputs or columns) - columns
        if below and bias is not None:
            weight, bias, below = torch.cat([weight, bias], dim=1), None, below - 1
        if below or beside:
            weight = F.pad(weight, (0, beside, 0, below))
        if beside and bias is not None:
            bias = F.pad(bias, (0, beside))
        if x.ndim == 2:
            shared: Tensor = SharedProduct.apply(x, weight, bias, relu)  # type: ignore[no-untyped-call]
            return shared
        y = torch.bmm(x, weight) if bias is None else torch.baddbmm(bias, x, weight)
        return y.relu_() if relu else y
