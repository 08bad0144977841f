# ruff: noqa: N803, N806  (shapes in names)
"""A mixed set of experts; those declared alike run as one batched block.

Shapes: E experts, B rows, D features, H outputs.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from mmoe.model.cross import Dcn
from mmoe.model.finalmlp import FinalMlp
from mmoe.model.masknet import MaskNet, ParallelMaskNet
from mmoe.model.mlp import Mlp
from mmoe.model_config import ExpertConfig

Columns = Mapping[str, Sequence[int]]
"""Which of the D columns hold a feature."""


def build_expert(
    config: ExpertConfig,
    copies: int,
    width: int,
    dropout: float,
    columns: Columns = MappingProxyType({}),
    *,
    normalized: bool = False,
) -> nn.Module:
    """`copies` experts of one declaration, their dense layers batch-normalised if asked: (C, B, D) → (C, B, H)."""
    hidden = config.hidden
    match config.kind:
        case "dcnv2":
            crosses = config.model_dump(include={"layers", "rank", "mixture", "full_layers", "parallel"})
            return Dcn(copies, width, hidden=hidden, dropout=dropout, normalized=normalized, **crosses)
        case "masknet":
            form = ParallelMaskNet if config.parallel else MaskNet
            masks = config.model_dump(include={"layers", "mask_hidden", "feature_norm", "block_dropout"})
            return form(copies, width, hidden=hidden, dropout=dropout, normalized=normalized, **masks)
        case "finalmlp":
            gates = config.stream_gates or ((), ())
            return FinalMlp(
                copies,
                width,
                hidden=hidden,
                second=config.second_hidden or hidden,
                gate_columns=[[column for name in names for column in columns[name]] for names in gates],
                gate_hidden=config.stream_gate_hidden,
                heads=config.fusion_heads,
                outputs=config.outputs,
                dropout=dropout,
                normalized=normalized,
            )
        case "mlp":
            return Mlp(copies, width, hidden, dropout=dropout, normalized=normalized)


READS_BEYOND = ("dcnv2", "mlp")
"""Kinds whose first products take the columns beyond D; the others normalise or gate all they read."""


class Experts(nn.Module):
    """(B, D) → (E, B, H), in the order of the declarations. There may be columns beyond D, of ones and then
    of zeros (see Linear).
    """

    def __init__(
        self,
        configs: Sequence[ExpertConfig],
        width: int,
        dropout: float,
        columns: Columns = MappingProxyType({}),
        *,
        normalized: bool = False,
    ) -> None:
        super().__init__()
        self.width = width
        members: dict[ExpertConfig, list[int]] = {}
        for index, config in enumerate(configs):
            members.setdefault(config, []).append(index)
        self.members, self.kinds = list(members.values()), [config.kind for config in members]
        self.groups = nn.ModuleList(
            build_expert(config, len(indices), width, dropout, columns, normalized=normalized)
            for config, indices in members.items()
        )

    def forward(self, features_BD: Tensor) -> Tensor:
        by_group = [
            group(self.read(features_BD, kind, len(indices)))
            for indices, kind, group in zip(self.members, self.kinds, self.groups, strict=True)
        ]
        if len(by_group) == 1:
            only: Tensor = by_group[0]
            return only
        outputs: dict[int, Tensor] = {}
        for indices, outputs_CBH in zip(self.members, by_group, strict=True):
            outputs.update(zip(indices, outputs_CBH.unbind(), strict=True))
        return torch.stack([outputs[index] for index in sorted(outputs)])

    def read(self, features_BD: Tensor, kind: str, copies: int) -> Tensor:
        """What a group reads: all copies the same, which MLPs take as one matrix."""
        features_BD = features_BD if kind in READS_BEYOND else features_BD[:, : self.width]
        if kind == "mlp":
            return features_BD
        return features_BD.unsqueeze(0) if copies == 1 else features_BD.expand(copies, -1, -1)
