"""mmoe.model.costs: parameters and FLOPs by hand."""

from dataclasses import replace

from mmoe.model.costs import part_costs, share
from mmoe.model.network import NetworkSpec, build_network
from mmoe.model_config import ExpertConfig, ModelConfig


def spec(*experts: ExpertConfig, **config: object) -> NetworkSpec:
    return NetworkSpec(
        categorical=((50, 4), (9, 6)), bags=((20, 4),), numeric=3, view_types=3, heads=("click", "save"),
        config=ModelConfig(experts=experts, embedding_dim=4, tower_hidden=(5,), **config),
    )  # fmt: skip


def test_parts_are_counted_as_by_hand() -> None:
    width, mlp = 4 + 6 + 4 + 4 + 2 * 3, ExpertConfig(kind="mlp", hidden=(16, 8))
    cross = ExpertConfig(kind="dcnv2", layers=3, hidden=(8,))
    found = {part.part: (part.parameters, part.flops) for part in part_costs(spec(mlp, cross, mlp))}
    dense = width * 16 + 16 * 8
    assert found == {
        "embeddings": (51 * 4 + 10 * 6 + 3 * 4 + 21 * 4, 0),
        "2 x mlp": (2 * (dense + 16 + 8), 2 * 2 * dense),
        "1 x dcnv2": (3 * (width**2 + width) + width * 8 + 8, 2 * (3 * width**2 + width * 8)),
        "gates": (2 * (width + 1) * 3, 2 * 2 * width * 3),
        "towers": (2 * (8 * 5 + 5 + 5 + 1), 2 * 2 * (8 * 5 + 5)),
        "mixture": (0, 2 * 2 * 3 * 8),
    }


def test_parameters_are_all_of_the_networks() -> None:
    declared = spec(ExpertConfig(kind="masknet"), ExpertConfig(kind="finalmlp"), distillation_towers=True)
    parameters = sum(parameter.numel() for parameter in build_network(declared, seed=0).parameters())
    assert sum(part.parameters for part in part_costs(declared)) == parameters


def test_a_batch_norm_costs_a_gain_a_number_and_no_product() -> None:
    mlp = ExpertConfig(kind="mlp", hidden=(16, 8))
    plain, normalised = (part_costs(spec(mlp, mlp, normalization=how))[1] for how in ("none", "batch"))
    assert normalised.parameters - plain.parameters == 2 * (16 + 8)  # a gain and a bias in the bias's place
    assert normalised.flops == plain.flops


def test_gates_and_towers_per_view_type_cost_as_many_times_as_there_are() -> None:
    mlp = ExpertConfig(kind="mlp", hidden=(16, 8))
    plain, split = (
        {part.part: part.flops for part in part_costs(spec(mlp, mlp, **options))}
        for options in ({}, {"gate_per_view_type": True, "tower_per_view_type": True})
    )
    assert split["gates"] == 3 * plain["gates"] and split["towers"] == 3 * plain["towers"]
    assert split["2 x mlp"] == plain["2 x mlp"]


def test_gates_of_a_stream_cost_by_the_features_that_they_read() -> None:
    """The first gate reads features of 4 and 4 columns for each row, the second learned numbers once for all rows."""
    width, names = 4 + 6 + 4 + 4 + 2 * 3, ("ad", "user", "view_type", "topics", "age", "price", "hour")
    gated = ExpertConfig(kind="finalmlp", hidden=(8,), stream_gates=(("ad", "topics"), ()))
    declared = replace(spec(gated, ExpertConfig(kind="mlp", hidden=(8,))), feature_names=names)
    part = next(part for part in part_costs(declared) if part.part == "1 x finalmlp")
    gates = (8 + 1) * 16 + 17 * width + 16 + 17 * 16 + 17 * width
    assert part.parameters == gates + 2 * (width + 1) * 8 + 8 + 2 * 8 * 8 + 8 * 8
    per_row = 8 * 16 + 16 * width + 2 * width * 8 + 2 * 8 * 8 + 8 * 8
    assert part.flops == 2 * per_row + 2 * (16 * 16 + 16 * width) // 64


def test_a_shared_bottom_has_no_gate_to_pay_for() -> None:
    assert share(part_costs(spec(ExpertConfig(kind="mlp"))), "gates") == (0, 0)
