"""mmoe.train.benchmark: what is timed is what it says; how fast it is depends on the machine and is not tested."""

import pytest

from mmoe.model.network import NetworkSpec
from mmoe.model_config import ExpertConfig, ModelConfig
from mmoe.train.benchmark import expert_rate, loss_costs
from mmoe.train.losses import DISTILLATION


def test_the_reference_product_has_the_experts_flops() -> None:
    config = ExpertConfig(kind="mlp", hidden=(32, 16))
    rate = expert_rate(config, copies=4, features=64, rows=128, rounds=2)
    assert rate.gflop == pytest.approx(4 * 2 * 128 * (64 * 32 + 32 * 16) / 1e9)
    assert min(rate.forward_rate, rate.training_rate, rate.forward_over_loop, rate.training_over_loop) > 0


def test_every_loss_is_timed_beside_a_step() -> None:
    spec = NetworkSpec(
        categorical=((50, 4),), bags=(), numeric=2, view_types=3, heads=("click", "save"),
        config=ModelConfig(experts=(ExpertConfig(kind="mlp", hidden=(8,)),)),
    )  # fmt: skip
    costs = loss_costs(spec, rows=64, rounds=2)
    assert [cost.loss for cost in costs] == list(DISTILLATION)
    assert all(cost.milliseconds > 0 and cost.share > 0 and cost.heads == 2 for cost in costs)
