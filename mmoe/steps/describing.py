"""What a declared model costs, before anything is trained."""

from typing import Any, Literal, get_args

from mmoe.model.costs import PartCost, part_costs, share
from mmoe.model.network import NetworkSpec, build_network
from mmoe.model_config import ExpertConfig
from mmoe.steps.context import Context
from mmoe.steps.planning import Kind, chosen_model
from mmoe.train.benchmark import ExpertRate, LossCost, expert_rate, loss_costs
from mmoe.train.device import cpu_threads, keep_freed_memory
from mmoe.train.spec import network_spec

WIDE = (490, (512, 256))
"""Features and dense widths of a larger model: 30 embeddings of 16 and 10 numbers."""


def describe_model(
    context: Context, which: Literal["model", "baseline"], experts: str
) -> tuple[tuple[PartCost, ...], dict[str, Any]]:
    """The parts' parameters and FLOPs, and what an MLflow run says of them."""
    model = context.params.baseline if which == "baseline" else chosen_model(experts, context.params.model)
    spec = network_spec(context.schema, model)
    return part_costs(spec), {
        "model": which,
        "experts": [expert.kind for expert in model.experts],
        **cost_metrics(spec),
    }


def cost_metrics(spec: NetworkSpec) -> dict[str, float]:
    """Parameters, FLOPs of a row's forward pass, and the gates' shares of both."""
    parts = part_costs(spec)
    parameters, flops = share(parts, "gates")
    return {
        "parameters": float(sum(part.parameters for part in parts)),
        "flops_per_row": float(sum(part.flops for part in parts)),
        "gate_parameter_share": parameters,
        "gate_flop_share": flops,
    }


def benchmark_model(context: Context, rows: int, rounds: int) -> tuple[list[ExpertRate], list[LossCost]]:
    """Four copies of each kind in params.yaml's widths, and every distillation loss on params.yaml's model."""
    spec = network_spec(context.schema, context.params.model)
    features = build_network(spec, seed=0).embeddings.width
    keep_freed_memory()  # as every training does
    with cpu_threads(context.settings.threads):
        rates = [
            expert_rate(ExpertConfig(kind=kind, hidden=hidden), copies=4, features=width, rows=rows, rounds=rounds)
            for width, hidden in ((features, context.params.model.experts[0].hidden), WIDE)
            for kind in get_args(Kind)
        ]
        return rates, loss_costs(spec, rows=rows, rounds=rounds)
