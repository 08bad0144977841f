"""What a network costs: parameters and FLOPs of each of its parts."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmoe.model.inputs import Inputs
from mmoe.model.network import Network, NetworkSpec, build_network

ROWS = 64


@dataclass(frozen=True, kw_only=True)
class PartCost:
    """One part of a network."""

    part: str
    parameters: int
    flops: int
    """Of the products of one row's serving pass, the mixture's sums too; a multiplication and an addition are two."""


def part_costs(spec: NetworkSpec) -> tuple[PartCost, ...]:
    """The parts in the order of the forward pass, counted while a batch of blank rows runs through them."""
    network = build_network(spec, seed=0)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(blank_inputs(spec, ROWS))
    counted = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}

    def cost(part: str, module: nn.Module, path: str) -> PartCost:
        parameters = sum(parameter.numel() for parameter in module.parameters())
        return PartCost(part=part, parameters=parameters, flops=counted.get(f"Network.{path}", 0) // ROWS)

    parts = [cost("embeddings", network.embeddings, "embeddings")]
    for index, (name, group) in enumerate(expert_groups(network)):
        parts.append(cost(name, group, f"experts.groups.{index}"))
    for name in ("gates", "towers", "distillation_towers"):
        module = getattr(network, name)
        if module is not None:
            parts.append(cost(name, module, name))
    mixed = len(spec.config.experts) if network.gates is not None else 0
    sums = 2 * len(spec.heads) * mixed * spec.config.experts[0].outputs  # no matrix products, which alone are counted
    return (*parts, PartCost(part="mixture", parameters=0, flops=sums))


def expert_groups(network: Network) -> list[tuple[str, nn.Module]]:
    """`2 x dcnv2` and its module for each batched block, in the order of the declarations."""
    experts = network.experts
    return [
        (f"{len(members)} x {kind}", group)
        for members, kind, group in zip(experts.members, experts.kinds, experts.groups, strict=True)
    ]


def blank_inputs(spec: NetworkSpec, rows: int) -> Inputs:
    """Rows of missing values, all of the first view type."""
    zeros = torch.zeros(rows, dtype=torch.int64)
    return Inputs(
        categorical_BF=torch.zeros(rows, len(spec.categorical), dtype=torch.int64),
        numeric_BN=torch.zeros(rows, spec.numeric),
        missing_BN=torch.ones(rows, spec.numeric),
        bag_values=tuple(zeros for _ in spec.bags),
        bag_offsets=tuple(torch.arange(rows) for _ in spec.bags),
        view_type_B=zeros,
    )


def share(parts: tuple[PartCost, ...], name: str) -> tuple[float, float]:
    """A part's share of all parameters and of all FLOPs; zeros where the network has no such part."""
    own = [part for part in parts if part.part == name]
    totals = sum(part.parameters for part in parts), sum(part.flops for part in parts)
    return sum(part.parameters for part in own) / totals[0], sum(part.flops for part in own) / totals[1]
