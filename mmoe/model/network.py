# ruff: noqa: N803, N806, N815  (shapes in names)
"""The whole network: features → experts → gated mixture per head → towers → logits.

Shapes: B rows, D features, G gate inputs, E experts, H expert outputs, T heads.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmoe.errors import ConfigError
from mmoe.model.embeddings import Embeddings
from mmoe.model.experts import Experts
from mmoe.model.gates import Gates, mixed
from mmoe.model.inputs import Inputs
from mmoe.model.norms import BatchNorm
from mmoe.model.towers import Towers
from mmoe.model_config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """All sizes of a network. Raises ConfigError for sets of experts that cannot be mixed."""

    categorical: tuple[tuple[int, int], ...]
    """(hash buckets, embedding width) per categorical feature."""
    bags: tuple[tuple[int, int], ...]
    """The same per multivalued feature."""
    numeric: int
    view_types: int
    heads: tuple[str, ...]
    config: ModelConfig
    gate_features: tuple[int, ...] | None = None
    """What gates read, as Embeddings.columns counts features; None: all."""
    feature_names: tuple[str, ...] = ()
    """In the order of Embeddings.columns; experts with `stream_gates` need them."""

    def __post_init__(self) -> None:
        if any(not expert.hidden for expert in self.config.experts):
            raise ConfigError("experts.hidden=[]: an expert needs an output; give at least one width.")
        outputs = sorted({expert.outputs for expert in self.config.experts})
        if len(outputs) > 1:
            raise ConfigError(
                f"experts.hidden: last widths {outputs} differ; give every expert of a model the same last width."
            )


class Outputs(NamedTuple):
    """What training needs of a network."""

    logits: dict[str, Tensor]
    """head → (B,) float32."""
    distilled: dict[str, Tensor]
    """The logits that distillation acts on: those of the distillation towers where there are any."""
    gates_TBE: Tensor | None
    """None with a single expert."""


class Network(nn.Module):
    """Logits per head. Parameters are float32; see `to_mixed` for serving in bfloat16.

    Under torch.autocast all products but each head's last have operands in the lower precision, and sums inside them
    are float32. Tables, the gates' softmax, the mixture's sums and the logits stay float32: a logit has to tell rows
    apart that bfloat16's 8 bits do not.
    """

    gate_columns: Tensor

    def __init__(self, spec: NetworkSpec, *, apart_from: int = 0) -> None:
        super().__init__()
        config, experts = spec.config, len(spec.config.experts)
        self.heads = spec.heads
        self.embeddings = Embeddings(
            spec.categorical,
            spec.bags,
            spec.numeric,
            spec.view_types,
            config.embedding_dim if config.view_dim is None else config.view_dim,
            missing_flags=config.missing_flags,
            numeric_scale=config.numeric_scale,
            apart_from=apart_from,
        )
        by_name = dict(zip(spec.feature_names, self.embeddings.columns, strict=bool(spec.feature_names)))
        self.experts = Experts(
            config.experts, self.embeddings.width, config.dropout, by_name, normalized=config.normalization == "batch"
        )
        columns = [column for feature in spec.gate_features or () for column in self.embeddings.columns[feature]]
        self.register_buffer("gate_columns", torch.tensor(columns, dtype=torch.int64), persistent=False)
        self.gates = self.build_gates(spec, len(columns) or self.embeddings.width) if experts > 1 else None
        self.towers = self.build_towers(spec)
        self.distillation_towers = self.build_towers(spec) if config.distillation_towers else None

    @staticmethod
    def build_gates(spec: NetworkSpec, width: int) -> Gates:
        config, experts = spec.config, len(spec.config.experts)
        view_types = spec.view_types if config.gate_per_view_type else None
        return Gates(
            len(spec.heads), width, config.gate_hidden, experts, view_types=view_types, dropout=config.expert_dropout
        )

    @staticmethod
    def build_towers(spec: NetworkSpec) -> Towers:
        config = spec.config
        view_types = spec.view_types if config.tower_per_view_type else None
        width = config.experts[0].outputs
        return Towers(len(spec.heads), width, config.tower_hidden, config.dropout, view_types=view_types)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Logits (B,) float32 per head."""
        dtype = self.dtype(inputs)
        with torch.autocast(inputs.numeric_BN.device.type, enabled=False):
            mixtures_TBH, _ = self.mixtures(inputs, dtype)
            return self.by_head(self.towers(mixtures_TBH, inputs.view_type_B))

    def outputs(self, inputs: Inputs) -> Outputs:
        """What `forward` gives, with what else training looks at."""
        dtype = self.dtype(inputs)
        with torch.autocast(inputs.numeric_BN.device.type, enabled=False):
            mixtures_TBH, gates_TBE = self.mixtures(inputs, dtype)
            logits = self.by_head(self.towers(mixtures_TBH, inputs.view_type_B))
            if self.distillation_towers is None:
                return Outputs(logits, logits, gates_TBE)
            distilled = self.by_head(self.distillation_towers(mixtures_TBH, inputs.view_type_B))
            return Outputs(logits, distilled, gates_TBE)

    def mixtures(self, inputs: Inputs, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Each head's mixture Σ_e g_te ⊙ expert_e (T, B, H), and its gates; with one expert, that expert for all."""
        features_BD = self.embeddings(inputs, dtype)
        weights = next(self.experts.parameters()).dtype
        experts_EBH = self.experts(features_BD if weights == torch.float32 else features_BD.to(weights))
        experts_EBH = experts_EBH.to(dtype if self.towers.deep else torch.float32)
        gates_TBE = self.gate(features_BD, inputs.view_type_B)
        if gates_TBE is None:
            return experts_EBH.expand(len(self.heads), -1, -1), None
        return mixed(gates_TBE, experts_EBH), gates_TBE

    def gate(self, features_BD: Tensor, view_type_B: Tensor) -> Tensor | None:
        if self.gates is None:
            return None
        x_BG = features_BD.index_select(1, self.gate_columns) if len(self.gate_columns) else features_BD
        gates_TBE: Tensor = self.gates(x_BG, view_type_B)
        return gates_TBE

    def by_head(self, logits_TB: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.heads, logits_TB.unbind(), strict=True))

    def gate_weights(self, inputs: Inputs) -> dict[str, Tensor]:
        """Each head's weights (B, E) on the experts, in the order they are declared; empty without gates."""
        gates_TBE = self.gate(self.embeddings(inputs), inputs.view_type_B)
        return {} if gates_TBE is None else dict(zip(self.heads, gates_TBE.unbind(), strict=True))

    @staticmethod
    def dtype(inputs: Inputs) -> torch.dtype:
        """What products compute in: autocast's choice where it is on, else float32."""
        device = inputs.numeric_BN.device.type
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32

    def to_mixed(self) -> "Network":
        """Turn the experts' weights into bfloat16, in place, for serving: they alone compute in it, as little is to be
        saved elsewhere with few rows. Batch norms stay float32, as running statistics are not to be rounded; they take
        bfloat16 as it comes.
        """
        for module in self.experts.modules():
            if not isinstance(module, BatchNorm):
                for parameter in module.parameters(recurse=False):
                    parameter.data = parameter.data.to(torch.bfloat16)
        return self


def build_network(spec: NetworkSpec, seed: int, *, apart_from: int = 0) -> Network:
    """A new network, initialised from `seed` alone; the global random state is left as it was.

    Tables of at least `apart_from` rows (0: none) are left on the meta device, to be drawn where they are shared out.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(spec, apart_from=apart_from)
