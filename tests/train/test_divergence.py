"""mmoe.train.divergence: what counts as exploded, and that a broken training says why and keeps its last good state."""

import json
import math
from datetime import date

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from mmoe.errors import TrainingError
from mmoe.train.batch import train_batch
from mmoe.train.divergence import Steady, coin_loss
from mmoe.train.objective import Objective
from mmoe.train.resume import Cadence, checkpoint_path

COIN = math.log(2)


def heard(losses) -> Steady:
    steady = Steady()
    for step, loss in enumerate(losses, start=1):
        steady = steady.after(loss, step, COIN)
    return steady


def test_a_loss_that_stays_ten_times_its_lowest_has_exploded_and_one_outlier_has_not() -> None:
    calm = [0.7, 0.5, 0.4] * 30
    assert not heard(calm).exploded(COIN)
    assert not heard([*calm, 20.0, *calm]).exploded(COIN)
    exploding = heard([*calm, *[50.0] * 10])
    assert exploding.exploded(COIN) and exploding.good_step == len(calm) and exploding.good_loss < 1


def test_a_rare_heads_small_loss_may_grow_without_having_exploded() -> None:
    assert not heard([*[0.01] * 50, *[0.2] * 50]).exploded(COIN)


def test_a_loss_that_is_not_a_number_has_exploded() -> None:
    assert heard([0.7, math.nan]).exploded(COIN) and not heard([0.7, math.nan]).steady(COIN)


def test_the_coins_loss_follows_the_weights_of_the_heads() -> None:
    assert coin_loss({}, ("a", "b")) == pytest.approx(2 * COIN)
    assert coin_loss({"a": 0.0, "b": 0.0}, ("a", "b")) == pytest.approx(COIN)
    assert coin_loss({"a": 5.0}, ("a", "b")) == pytest.approx(6 * COIN)


@pytest.mark.parametrize(("factor", "says"), [(math.nan, "not finite"), (300.0, "times its lowest")])
def test_a_broken_training_says_why_and_leaves_its_last_good_state(
    factor, says, make_partition, small_schema, params, tmp_path, monkeypatch
) -> None:
    call, calls = Objective.__call__, []

    def spoilt(self, outputs, batch, part):
        calls.append(batch)
        if len(calls) > 6:
            outputs = outputs._replace(logits=outputs.logits | {"hide": outputs.logits["hide"].abs() * factor + factor})
        return call(self, outputs, batch, part)

    monkeypatch.setattr(Objective, "__call__", spoilt)
    options = {"schema": small_schema, "model": params.model, "params": params, "threads": 1, "output": tmp_path / "o"}
    with pytest.raises(TrainingError) as told:
        train_batch(**options, partitions=[make_partition(date(2026, 3, 1), rows=2000)], cadence=Cadence(steps=2))
    message = str(told.value)
    for part in (says, "hide", "step=", "gradient norm", "learning rates: dense 0.01, embeddings 0.2", "last good one"):
        assert part in message, message
    path = checkpoint_path(tmp_path / "o")
    assert str(path) in message and not (tmp_path / "o").exists()
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["mmoe_checkpoint"])["step"] == 6
    tensors = load_file(path)
    assert all(torch.isfinite(tensor).all() for name, tensor in tensors.items() if name.startswith("weights."))
