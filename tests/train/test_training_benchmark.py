"""mmoe.train.benchmark: what is timed is what it says; how fast it is depends on the machine and is not tested."""

import math
import time

import pytest

from mmoe.model.network import NetworkSpec
from mmoe.model_config import ExpertConfig, ModelConfig
from mmoe.train.benchmark import added_time, expert_rate, loss_costs
from mmoe.train.device import usable_precision
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
    assert {cost.precision for cost in costs} == {usable_precision("bfloat16")}
    assert all(math.isfinite(cost.share) and cost.milliseconds * cost.share >= 0 and cost.heads == 2 for cost in costs)


def test_the_added_time_is_that_of_the_longer_work_less_the_shorter_ones() -> None:
    added, whole = added_time(lambda: time.sleep(0.01), lambda: time.sleep(0.03), pairs=10)
    assert 0.01 < added < 0.03 and 0.01 <= whole < 0.03
