# ruff: noqa: N803, N806  (shapes in names)
"""The whole network: features → experts → gated mixture per head → towers → logits.

Shapes: B rows, D features, E experts, H expert outputs, T heads.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmoe.config import ModelConfig
from mmoe.errors import ConfigError
from mmoe.model.embeddings import Embeddings
from mmoe.model.experts import Experts
from mmoe.model.gates import Gates
from mmoe.model.inputs import Inputs
from mmoe.model.towers import Towers


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

    def __post_init__(self) -> None:
        if any(not expert.hidden for expert in self.config.experts):
            raise ConfigError("experts.hidden=[]: an expert needs an output; give at least one width.")
        outputs = sorted({expert.hidden[-1] for expert in self.config.experts})
        if len(outputs) > 1:
            raise ConfigError(
                f"experts.hidden: last widths {outputs} differ; give every expert of a model the same last width."
            )


class Network(nn.Module):
    """Logits per head. Parameters are float32; see `to_mixed` for serving in bfloat16.

    Under torch.autocast only the experts run in the lower precision: embeddings, gates, mixture and towers stay
    float32, the form in which mixed precision costs no accuracy.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        config = spec.config
        self.heads = spec.heads
        self.embeddings = Embeddings(spec.categorical, spec.bags, spec.numeric, spec.view_types, config.embedding_dim)
        width, experts = self.embeddings.width, len(config.experts)
        self.experts = Experts(config.experts, width, config.dropout)
        self.gates = Gates(len(spec.heads), width, config.gate_hidden, experts) if experts > 1 else None
        self.towers = Towers(len(spec.heads), config.experts[0].hidden[-1], config.tower_hidden, config.dropout)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Logits (B,) float32 per head."""
        device = inputs.numeric_BN.device.type
        dtype = self.expert_dtype(device)
        with torch.autocast(device, enabled=False):
            features_BD = self.embeddings(inputs)
            experts_EBH = self.experts(features_BD.to(dtype)).float()
            mixtures_TBH = self.mix(features_BD, experts_EBH)
            logits_TB = self.towers(mixtures_TBH)
        return dict(zip(self.heads, logits_TB.unbind(), strict=True))

    def mix(self, features_BD: Tensor, experts_EBH: Tensor) -> Tensor:
        """(T, B, H): each head's mixture Σ_e g_te ⊙ expert_e; with one expert, that expert for every head."""
        if self.gates is None:
            return experts_EBH.expand(len(self.heads), -1, -1)
        gates_TBE = self.gates(features_BD)
        return torch.einsum("tbe,ebh->tbh", gates_TBE, experts_EBH)

    def gate_weights(self, inputs: Inputs) -> dict[str, Tensor]:
        """Each head's weights (B, E) on the experts, in the order they are declared; empty without gates."""
        if self.gates is None:
            return {}
        gates_TBE: Tensor = self.gates(self.embeddings(inputs))
        return dict(zip(self.heads, gates_TBE.unbind(), strict=True))

    def expert_dtype(self, device: str) -> torch.dtype:
        """What the experts compute in: autocast's choice where it is on, else the type of their weights."""
        if torch.is_autocast_enabled(device):
            return torch.get_autocast_dtype(device)
        return next(self.experts.parameters()).dtype

    def to_mixed(self) -> "Network":
        """Turn the experts' weights into bfloat16, in place, for serving. Saves the casts of every call."""
        self.experts.to(torch.bfloat16)
        return self


def build_network(spec: NetworkSpec, seed: int) -> Network:
    """A new network, initialised from `seed` alone; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(spec)
