# ruff: noqa: N803, N806  (shapes in names)
"""A mixed set of experts; those declared alike run as one batched block.

Shapes: E experts, B rows, D features, H outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmoe.config import ExpertConfig
from mmoe.model.cross import Dcn
from mmoe.model.finalmlp import FinalMlp
from mmoe.model.masknet import MaskNet, ParallelMaskNet
from mmoe.model.mlp import Mlp


def build_expert(config: ExpertConfig, copies: int, width: int, dropout: float) -> nn.Module:
    """`copies` experts of one declaration: a module (C, B, D) → (C, B, H)."""
    hidden = config.hidden
    match config.kind:
        case "dcnv2":
            crosses = config.model_dump(include={"layers", "rank", "mixture", "full_layers", "parallel"})
            return Dcn(copies, width, hidden=hidden, dropout=dropout, **crosses)
        case "masknet":
            form = ParallelMaskNet if config.parallel else MaskNet
            return form(copies, width, layers=config.layers, hidden=hidden, dropout=dropout)
        case "finalmlp":
            return FinalMlp(copies, width, hidden=hidden, dropout=dropout)
        case "mlp":
            return Mlp(copies, width, hidden, dropout=dropout)


class Experts(nn.Module):
    """(B, D) → (E, B, H), in the order of the declarations."""

    def __init__(self, configs: Sequence[ExpertConfig], width: int, dropout: float) -> None:
        super().__init__()
        members: dict[ExpertConfig, list[int]] = {}
        for index, config in enumerate(configs):
            members.setdefault(config, []).append(index)
        self.members, self.kinds = list(members.values()), [config.kind for config in members]
        self.groups = nn.ModuleList(
            build_expert(config, len(indices), width, dropout) for config, indices in members.items()
        )

    def forward(self, features_BD: Tensor) -> Tensor:
        outputs: dict[int, Tensor] = {}
        for indices, group in zip(self.members, self.groups, strict=True):
            outputs_CBH = group(features_BD.expand(len(indices), -1, -1))
            outputs.update(zip(indices, outputs_CBH.unbind(), strict=True))
        return torch.stack([outputs[index] for index in sorted(outputs)])
