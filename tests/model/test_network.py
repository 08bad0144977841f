# ruff: noqa: N806  (shapes in names)
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from mmoe.errors import ConfigError
from mmoe.model.gates import effective_experts, entropy
from mmoe.model.inputs import Inputs
from mmoe.model.network import Network, NetworkSpec, build_network
from mmoe.model.norms import running_statistics
from mmoe.model_config import ExpertConfig, ModelConfig
from mmoe.parsing import parse
from mmoe.train.optim import Optimizer

HIDDEN = (16, 8)
KINDS = ("dcnv2", "dcnv2", "masknet", "finalmlp", "mlp")
MIXED = tuple(ExpertConfig(kind=kind, hidden=HIDDEN) for kind in KINDS)


def spec(experts: tuple[ExpertConfig, ...] = MIXED, **config: object) -> NetworkSpec:
    return NetworkSpec(
        categorical=((50, 4), (9, 6)),
        bags=((20, 4),),
        numeric=3,
        view_types=3,
        heads=("click", "save"),
        config=ModelConfig(experts=experts, embedding_dim=4, tower_hidden=(5,), **config),
    )


def random_inputs(rows: int, seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)

    def integers(high: int, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randint(high, shape, generator=generator)

    categorical = torch.stack([integers(51, (rows,)), integers(10, (rows,))], dim=1)
    numeric = torch.randn(rows, 3, generator=generator)
    bag = integers(21, (2 * rows,))
    return Inputs(categorical, numeric, torch.zeros(rows, 3), (bag,), (2 * torch.arange(rows),), integers(3, (rows,)))


def test_the_logits_equal_the_mmoe_equation_head_by_head_and_expert_by_expert() -> None:
    network, batch = build_network(spec(gate_hidden=(7,)), seed=1), random_inputs(6)
    features = network.embeddings(batch)
    experts = network.experts(features)
    for index, (head, logits) in enumerate(network(batch).items()):
        hidden = (features @ network.gates.hidden.layers[0].weight[index]).relu()
        gate = (hidden @ network.gates.output.weight[index]).softmax(dim=1)
        mixture = sum(gate[:, e : e + 1] * experts[e] for e in range(len(MIXED)))
        tower = (mixture @ network.towers.hidden.layers[0].weight[index]).relu()
        expected = (tower @ network.towers.output.weight[index]).squeeze(1)
        torch.testing.assert_close(logits, expected, msg=head)
        torch.testing.assert_close(network.gate_weights(batch)[head], gate)


def test_gates_and_towers_per_view_type_are_the_rows_own() -> None:
    network = build_network(spec(gate_per_view_type=True, tower_per_view_type=True), seed=1)
    batch = random_inputs(12)
    assert set(batch.view_type_B.tolist()) == {0, 1, 2}
    features = network.embeddings(batch)
    experts = network.experts(features)
    for index, head in enumerate(network.heads):
        for row, view_type in enumerate(batch.view_type_B.tolist()):
            own = 3 * index + view_type
            gate = (features[row] @ network.gates.output.weight[own] + network.gates.output.bias[own, 0]).softmax(dim=0)
            mixture = sum(gate[e] * experts[e, row] for e in range(len(MIXED)))
            tower = (mixture @ network.towers.hidden.layers[0].weight[own]).relu()
            expected = (tower @ network.towers.output.weight[own]).squeeze()
            torch.testing.assert_close(network(batch)[head][row], expected)
            torch.testing.assert_close(network.gate_weights(batch)[head][row], gate)


def test_a_tower_of_one_view_type_learns_from_its_rows_alone() -> None:
    network, batch = build_network(spec(tower_per_view_type=True), seed=1), random_inputs(30)
    searches = batch._replace(view_type_B=torch.ones_like(batch.view_type_B))
    sum(logits.sum() for logits in network(searches).values()).backward()
    gradient = network.towers.output.weight.grad.view(2, 3, -1)
    assert (gradient[:, 1] != 0).any(dim=1).all()
    assert (gradient[:, [0, 2]] == 0).all()


def test_gates_read_the_chosen_features_alone() -> None:
    """Feature 1 is categorical, 2 the view type, 3 the bag, 5 the second number."""
    chosen, batch = build_network(replace(spec(), gate_features=(1, 2, 3, 5)), seed=1), random_inputs(6)
    assert chosen.gates.output.weight.shape[1] == 6 + 4 + 4 + 2
    before = chosen.gate_weights(batch)["click"]
    unread = batch._replace(categorical_BF=batch.categorical_BF.clone(), numeric_BN=batch.numeric_BN.clone())
    unread.categorical_BF[:, 0] = 7
    unread.numeric_BN[:, [0, 2]] = 3.0
    assert torch.equal(chosen.gate_weights(unread)["click"], before)
    for change in (
        {"categorical_BF": (batch.categorical_BF + 1) % 10},
        {"view_type_B": (batch.view_type_B + 1) % 3},
        {"bag_values": ((batch.bag_values[0] + 1) % 21,)},
        {"numeric_BN": batch.numeric_BN + torch.tensor([0.0, 1.0, 0.0])},
        {"missing_BN": batch.missing_BN + torch.tensor([0.0, 1.0, 0.0])},
    ):
        assert (chosen.gate_weights(batch._replace(**change))["click"] != before).any(dim=1).all(), change


def test_expert_dropout_acts_in_training_only_and_leaves_a_distribution() -> None:
    network, batch = build_network(spec(expert_dropout=0.4), seed=1), random_inputs(2000)
    torch.manual_seed(0)
    weights_BE = network.train().gate_weights(batch)["click"]
    torch.testing.assert_close(weights_BE.sum(dim=1), torch.ones(2000))
    kept = (weights_BE > 0).float()
    every = 0.4 ** len(MIXED)  # a row that would lose all keeps all
    assert kept.mean().item() == pytest.approx(0.6 + every, abs=0.02)
    whole = network.eval().gate_weights(batch)["click"]
    assert (whole > 0).all()
    torch.testing.assert_close(weights_BE, whole * kept / (whole * kept).sum(dim=1, keepdim=True))


def test_distillation_towers_are_computed_for_training_alone() -> None:
    plain, network = (build_network(spec(distillation_towers=on), seed=1) for on in (False, True))
    batch = random_inputs(6)
    outputs = network.outputs(batch)
    assert (outputs.distilled["click"] != outputs.logits["click"]).all()
    assert torch.equal(outputs.logits["click"], network(batch)["click"])
    assert torch.equal(plain.outputs(batch).distilled["click"], plain(batch)["click"])
    called = []
    network.distillation_towers.register_forward_hook(lambda *_: called.append(True))
    network(batch)
    assert not called


def test_entropy_and_effective_experts_tell_collapse_from_use() -> None:
    even, single = torch.full((4,), 0.25), torch.tensor([0.0, 1.0, 0.0, 0.0])
    assert entropy(torch.stack([even, single])).tolist() == pytest.approx([1.0, 0.0])
    assert effective_experts(torch.stack([even, single])).tolist() == pytest.approx([4.0, 1.0])
    assert effective_experts(torch.tensor([0.5, 0.5, 0.0, 0.0])).item() == pytest.approx(2.0)


def test_one_expert_makes_a_shared_bottom_without_gates() -> None:
    network, batch = build_network(spec(MIXED[:1]), seed=1), random_inputs(6)
    assert network.gates is None
    assert network.gate_weights(batch) == {}
    bottom = network.experts(network.embeddings(batch))[0]
    tower = (bottom @ network.towers.hidden.layers[0].weight[1]).relu()
    expected = (tower @ network.towers.output.weight[1]).squeeze(1)
    torch.testing.assert_close(network(batch)["save"], expected)


def test_a_mixture_of_one_number_starts_as_the_logit() -> None:
    one = (ExpertConfig(kind="finalmlp", hidden=HIDDEN, fusion_outputs=1),)
    config = ModelConfig(experts=one, embedding_dim=4, tower_hidden=())
    network, batch = build_network(replace(spec(), config=config), seed=1), random_inputs(6)
    number = network.experts(network.embeddings(batch))[0].squeeze(1)
    for logits in network(batch).values():
        torch.testing.assert_close(logits, number)


def test_the_view_type_reaches_logits_and_gates() -> None:
    network, batch = build_network(spec(), seed=1), random_inputs(6)
    moved = batch._replace(view_type_B=(batch.view_type_B + 1) % 3)
    for head, logits in network(batch).items():
        assert (logits != network(moved)[head]).any()  # a tower's rectifiers may all be silent on a row
        assert (network.gate_weights(batch)[head] != network.gate_weights(moved)[head]).any(dim=1).all()


def test_gate_weights_are_a_distribution_over_the_declared_experts() -> None:
    weights = build_network(spec(), seed=1).gate_weights(random_inputs(40))
    for weights_BE in weights.values():
        assert weights_BE.shape == (40, len(MIXED))
        assert (weights_BE > 0).all()
        torch.testing.assert_close(weights_BE.sum(dim=1), torch.ones(40))


def test_the_same_seed_builds_the_same_network_and_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = (build_network(spec(), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in first.state_dict().items())


def test_a_batch_of_one_gives_one_logit_equal_to_that_in_a_larger_batch() -> None:
    network, batch = build_network(spec(), seed=1), random_inputs(5)
    single = Inputs(
        batch.categorical_BF[:1],
        batch.numeric_BN[:1],
        batch.missing_BN[:1],
        (batch.bag_values[0][:2],),
        (batch.bag_offsets[0][:1],),
        batch.view_type_B[:1],
    )
    for head, logits in network(single).items():
        assert logits.shape == (1,)
        torch.testing.assert_close(logits, network(batch)[head][:1])


@pytest.mark.parametrize("experts", [MIXED, MIXED[:1]])
def test_under_autocast_all_products_but_the_last_run_in_bfloat16(experts: tuple[ExpertConfig, ...]) -> None:
    network, batch = build_network(spec(experts), seed=1), random_inputs(30)
    inner: dict[str, torch.dtype] = {}
    for name, module in network.named_modules():
        if name:
            module.register_forward_hook(lambda _m, _i, output, name=name: inner.update({name: output.dtype}))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network.outputs(batch).logits
    parts = ("embeddings", "experts", "gates.output", "towers.hidden") if network.gates else ("embeddings", "experts")
    assert {inner[part] for part in parts} == {torch.bfloat16}
    exact = ("embeddings.tables.0", *(("gates",) if network.gates else ()), "towers.output", "towers")
    assert {inner[part] for part in exact} == {torch.float32}
    for head, logits in network(batch).items():
        assert mixed[head].dtype == torch.float32
        torch.testing.assert_close(mixed[head], logits, rtol=0.02, atol=0.02)


def test_a_mixture_that_is_the_logit_itself_is_not_rounded_to_bfloat16() -> None:
    numbers = tuple(ExpertConfig(kind="finalmlp", hidden=HIDDEN, fusion_outputs=1) for _ in range(3))
    declared = spec(numbers)
    declared = replace(declared, config=declared.config.model_copy(update={"tower_hidden": ()}))
    network, batch = build_network(declared, seed=1), random_inputs(300)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(batch)
    for logits in mixed.values():
        assert (logits != logits.bfloat16()).float().mean() > 0.9


def test_experts_alone_serve_in_bfloat16_and_logits_are_at_least_as_near_as_autocasts() -> None:
    network, batch = build_network(spec(), seed=1).eval(), random_inputs(300)
    with torch.no_grad():
        exact = network(batch)
        with torch.autocast("cpu", torch.bfloat16):
            trained = network(batch)
        mixed = network.to_mixed()
        served = mixed(batch)
    assert {p.dtype for p in mixed.experts.parameters()} == {torch.bfloat16}
    assert {p.dtype for part in (mixed.embeddings, mixed.gates, mixed.towers) for p in part.parameters()} == {
        torch.float32
    }
    for head, logits in exact.items():
        torch.testing.assert_close(served[head], logits, rtol=0.02, atol=0.02)
        assert (served[head] - logits).square().mean() <= (trained[head] - logits).square().mean()


def test_batch_norms_serve_in_bfloat16_by_float32_statistics() -> None:
    network = build_network(spec(normalization="batch"), seed=1)
    for seed in range(20):
        with torch.autocast("cpu", torch.bfloat16):
            network(random_inputs(50, seed=seed))
    statistics = [each.clone() for each in running_statistics(network.eval())]
    features = network.embeddings(random_inputs(30), torch.bfloat16)
    with torch.no_grad():
        expected = network.experts(features)
        assert torch.equal(network.to_mixed().experts(features), expected)
    for before, after in zip(statistics, running_statistics(network), strict=True):
        assert after.dtype == torch.float32 and torch.equal(before, after)


def test_default_gates_hold_under_1_percent_of_the_parameters() -> None:
    experts = tuple(ExpertConfig(kind=kind) for kind in ("dcnv2", "dcnv2", "masknet", "mlp"))
    big = NetworkSpec(
        categorical=((20000, 8),) * 9,
        bags=((128, 8),) * 2,
        numeric=4,
        view_types=3,
        heads=("click", "long_click", "save", "hide"),
        config=ModelConfig(experts=experts),
    )
    network = build_network(big, seed=1)
    count = {name: sum(p.numel() for p in module.parameters()) for name, module in network.named_children()}
    assert count["gates"] == 4 * (network.embeddings.width + 1) * 4
    assert count["gates"] < 0.01 * sum(count.values())


def test_experts_that_cannot_be_mixed_are_refused_with_the_fix() -> None:
    uneven = (MIXED[0], ExpertConfig(kind="mlp", hidden=(16, 4)))
    with pytest.raises(ConfigError, match=r"last widths \[4, 8\] differ; give every expert"):
        spec(uneven)
    with pytest.raises(ConfigError, match=r"experts.hidden=\[\].*at least one width"):
        spec((ExpertConfig(kind="mlp", hidden=()),))


def test_a_normalisation_of_no_dense_layers_is_refused_with_the_fix() -> None:
    declared = {"experts": [{"kind": "masknet", "hidden": [8]}], "normalization": "batch"}
    with pytest.raises(ConfigError, match="normalization=batch: no expert has dense layers; give masknet a second"):
        parse(ModelConfig, declared, "params.yaml", ConfigError)


def train(network: Network, steps: int, target_of) -> None:
    optimizer = Optimizer(network, dense_lr=5e-3, embedding_lr=0.1, weight_decay=0.0, clip_norm=10.0)
    for step in range(steps):
        batch = random_inputs(512, seed=step)
        labels = target_of(batch)
        optimizer.zero_grad()
        logits = network(batch)
        sum(F.binary_cross_entropy_with_logits(logits[head], labels[head]) for head in logits).backward()
        optimizer.step()


@pytest.mark.parametrize("normalization", ["none", "batch"])
@pytest.mark.parametrize("experts", [MIXED, *[(expert,) for expert in MIXED[1:]]])
def test_a_network_learns_opposite_heads_with_an_id_and_an_interaction(
    experts: tuple[ExpertConfig, ...], normalization: str
) -> None:
    """Peers have shipped an MMoE stuck at AUC 0.5 (torch-rechub) and tasks that predict the same (DeepCTR)."""

    def target_of(batch: Inputs) -> dict[str, torch.Tensor]:
        by_id = torch.where(batch.categorical_BF[:, 0] % 2 == 0, 1.0, -1.0)
        click = (by_id * batch.numeric_BN[:, 0] > 0).float()
        return {"click": click, "save": 1 - click}

    network = build_network(spec(experts, normalization=normalization), seed=1)
    train(network, 120, target_of)
    network.eval()
    batch = random_inputs(4000, seed=10_000)
    labels = target_of(batch)
    with torch.no_grad():
        for head, logits in network(batch).items():
            assert roc_auc_score(labels[head], logits) > 0.9, head
