# ruff: noqa: N803  (shapes in names)
"""C linear layers of one shape as one batched matrix product.

Shapes: C copies (experts, heads or gates), B batch rows, I inputs, O outputs.
"""

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """y_c = x_c W_c + b_c for every copy c, computed in the dtype of x.

    (C, B, I) → (C, B, O), or (B, I) → (C, B, O) where all copies read the same x. Parameters: C·(I·O + O), or
    C·I·O without bias; Xavier-uniform weights, zero bias.
    """

    def __init__(self, copies: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(copies, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(copies, 1, outputs)) if bias else None
        nn.init.uniform_(self.weight, -((6 / (inputs + outputs)) ** 0.5), (6 / (inputs + outputs)) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if x.ndim == 2:
            copies, _, outputs = weight.shape
            flat = weight.transpose(0, 1).flatten(1)
            joined = x @ flat if bias is None else torch.addmm(bias.flatten(), x, flat)
            return joined.view(-1, copies, outputs).transpose(0, 1)
        return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias, x, weight)


class LayerNorm(nn.Module):
    """Layer norm over the last dimension, with a gain and a bias per copy. (C, B, W) → (C, B, W); 2·C·W parameters."""

    def __init__(self, copies: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(copies, 1, width))
        self.bias = nn.Parameter(torch.zeros(copies, 1, width))

    def forward(self, x_CBW: Tensor) -> Tensor:
        normed = nn.functional.layer_norm(x_CBW, x_CBW.shape[-1:])
        return torch.addcmul(self.bias.to(x_CBW.dtype), normed, self.gain.to(x_CBW.dtype))
