# ruff: noqa: N803  (shapes in names)
"""Normalisation of C copies at once. Shapes: C copies, B rows, W numbers each."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOMENTUM = 0.1
"""Share of a batch in the running statistics."""


class LayerNorm(nn.Module):
    """Layer norm over the last dimension, with a gain and a bias per copy. (C, B, W) → (C, B, W); 2·C·W parameters."""

    def __init__(self, copies: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(copies, 1, width))
        self.bias = nn.Parameter(torch.zeros(copies, 1, width))

    def forward(self, x_CBW: Tensor) -> Tensor:
        normed = nn.functional.layer_norm(x_CBW, x_CBW.shape[-1:])
        return torch.addcmul(self.bias.to(x_CBW.dtype), normed, self.gain.to(x_CBW.dtype))


class BatchNorm(nn.Module):
    """y = γ·(x − μ) / √(σ² + ε) + β, μ and σ² over the rows of a batch, of each copy and number by itself (Ioffe and
    Szegedy, ICML 2015, arXiv 1502.03167). (C, B, W) → (C, B, W) in the dtype of x; 2·C·W parameters.

    In training the running statistics follow: mean ← 0.9·mean + 0.1·μ, variance ← 0.9·variance + 0.1·σ²·B/(B − 1). In
    evaluation they stand for μ and σ²; also for a batch of one row, which has no variance and moves neither. Parameters
    and statistics are float32, and so is the arithmetic, whatever x is.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, copies: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(copies, 1, width))
        self.bias = nn.Parameter(torch.zeros(copies, 1, width))
        self.register_buffer("mean", torch.zeros(copies, width))
        self.register_buffer("variance", torch.ones(copies, width))

    def forward(self, x_CBW: Tensor) -> Tensor:
        by_batch = self.training and x_CBW.shape[1] > 1
        of_copies = (x_CBW, self.mean, self.variance, self.gain.squeeze(1), self.bias.squeeze(1))
        each = zip(*(tensor.unbind() for tensor in of_copies), strict=True)
        return torch.stack([F.batch_norm(x, m, v, g, b, by_batch, MOMENTUM) for x, m, v, g, b in each])


def running_statistics(network: nn.Module) -> list[Tensor]:
    """The means and variances of all batch norms in it, as they are updated."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    return [statistic for norm in norms for statistic in (norm.mean, norm.variance)]
