"""mmoe.train.objective: the weighted sum it says it is."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mmoe.config import DistillationConfig
from mmoe.data.stream import Batch
from mmoe.model.inputs import Inputs
from mmoe.train.objective import Objective

HEADS = ("click", "hide")
LABELS = torch.tensor([[1.0, 0.0], [0.0, float("nan")], [1.0, 1.0]])


def batch(*teachers: torch.Tensor) -> Batch:
    view_type = torch.tensor([0, 0, 1])
    inputs = Inputs(view_type, view_type, view_type, (), (), view_type)
    return Batch(inputs=inputs, labels_BH=LABELS, teachers_BH=teachers, identity=None)


def logits() -> dict[str, torch.Tensor]:
    return {"click": torch.tensor([0.5, -1.0, 2.0]), "hide": torch.tensor([0.1, 0.2, 0.3], requires_grad=True)}


def test_task_losses_are_weighted_by_head_and_skip_labels_that_are_not_final() -> None:
    losses = Objective(heads=HEADS, head_weights={"hide": 3.0})(logits(), batch())
    click = bce(logits()["click"], LABELS[:, 0])
    hide = bce(logits()["hide"][[0, 2]], LABELS[[0, 2], 1])
    assert losses.task.tolist() == pytest.approx([click.item(), hide.item()])
    assert losses.total.item() == pytest.approx((click + 3 * hide).item()) and losses.distillation == 0


def test_each_teacher_adds_its_weighted_distillation_where_it_says_something() -> None:
    config = DistillationConfig(loss="logit_mse", weight=0.5, head_weights={"hide": 2.0})
    silent_on_click = torch.tensor([[float("nan"), 1.0]] * 3)
    everywhere = torch.tensor([[1.0, float("nan")]] * 3)
    objective = Objective(heads=HEADS, head_weights={}, distillation=config, teacher_weights=(1.0, 10.0))
    losses = objective(logits(), batch(silent_on_click, everywhere))
    hide = 1.0 * 2.0 * (logits()["hide"] - 1).square().mean()
    click = 10.0 * 0.5 * (logits()["click"] - 1).square().mean()
    assert losses.distillation.item() == pytest.approx((hide + click).item())
    assert losses.total.item() == pytest.approx((losses.task.sum() + hide + click).item())


def test_gradients_reach_the_logits() -> None:
    scored = logits()
    Objective(heads=HEADS, head_weights={})(scored, batch()).total.backward()
    gradient = scored["hide"].grad
    assert gradient is not None and gradient[1] == 0 and (gradient[[0, 2]] != 0).all()
