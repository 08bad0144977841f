"""mmoe.train.objective: the weighted sum it says it is."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from mmoe.config import DistillationConfig
from mmoe.data.batch import Batch
from mmoe.data.order import Position
from mmoe.data.rows import Layout, Rows
from mmoe.errors import ConfigError, TrainingError
from mmoe.model.network import Outputs
from mmoe.train.objective import Objective

HEADS = ("click", "hide")
LABELS = torch.tensor([[1.0, 0.0], [0.0, float("nan")], [1.0, 1.0]])


def batch(*teachers: torch.Tensor, groups: list[int] | None = None) -> Batch:
    layout = Layout(categorical=0, numeric=0, heads=2, teachers=len(teachers), groups=groups is not None)
    rows = Rows(layout=layout, words=layout.empty(3))
    rows.view_type[:] = [0, 0, 1]
    rows.labels[:] = LABELS
    for index, logits in enumerate(teachers):
        rows.teacher(index)[:] = logits
    if rows.group is not None:
        rows.group[:] = groups
    return Batch.of(rows, Position())


def outputs(gates=None, distilled=None) -> Outputs:
    return Outputs(logits(), distilled or logits(), gates)


def logits() -> dict[str, torch.Tensor]:
    return {"click": torch.tensor([0.5, -1.0, 2.0]), "hide": torch.tensor([0.1, 0.2, 0.3], requires_grad=True)}


def test_task_losses_are_weighted_by_head_and_skip_labels_that_are_not_final() -> None:
    losses = Objective(heads=HEADS, head_weights={"hide": 3.0})(outputs(), batch())
    click = bce(logits()["click"], LABELS[:, 0])
    hide = bce(logits()["hide"][[0, 2]], LABELS[[0, 2], 1])
    assert losses.task.tolist() == pytest.approx([click.item(), hide.item()])
    assert losses.total.item() == pytest.approx((click + 3 * hide).item()) and losses.distillation == 0


def test_each_teacher_adds_its_weighted_distillation_where_it_says_something() -> None:
    config = DistillationConfig(loss="logit_mse", weight=0.5, head_weights={"hide": 2.0})
    silent_on_click = torch.tensor([[float("nan"), 1.0]] * 3)
    everywhere = torch.tensor([[1.0, float("nan")]] * 3)
    objective = Objective(heads=HEADS, head_weights={}, distillation=config, teacher_weights=(1.0, 10.0))
    losses = objective(outputs(), batch(silent_on_click, everywhere))
    hide = 1.0 * 2.0 * (logits()["hide"] - 1).square().mean()
    click = 10.0 * 0.5 * (logits()["click"] - 1).square().mean()
    assert losses.distillation.item() == pytest.approx((hide + click).item())
    assert losses.total.item() == pytest.approx((losses.task.sum() + hide + click).item())


def test_gradients_reach_the_logits() -> None:
    scored = logits()
    Objective(heads=HEADS, head_weights={})(Outputs(scored, scored, None), batch()).total.backward()
    gradient = scored["hide"].grad
    assert gradient is not None and gradient[1] == 0 and (gradient[[0, 2]] != 0).all()


def test_each_head_has_its_own_temperature() -> None:
    config = DistillationConfig(loss="pointwise_bce", weight=1.0, temperature=2.0, head_temperatures={"hide": 4.0})
    teacher = torch.tensor([[1.0, -1.0]] * 3)
    objective = Objective(heads=HEADS, head_weights={}, distillation=config, teacher_weights=(1.0,))
    expected = sum(
        t**2 * bce(logits()[head] / t, (teacher[:, index] / t).sigmoid())
        for index, (head, t) in enumerate({"click": 2.0, "hide": 4.0}.items())
    )
    assert objective(outputs(), batch(teacher)).distillation.item() == pytest.approx(expected.item())


def test_distillation_towers_take_the_distillation_and_heads_the_labels() -> None:
    config = DistillationConfig(loss="logit_mse", weight=1.0)
    towers = {"click": torch.zeros(3, requires_grad=True), "hide": torch.zeros(3, requires_grad=True)}
    scored = logits()
    objective = Objective(heads=HEADS, head_weights={}, distillation=config, teacher_weights=(1.0,))
    losses = objective(Outputs(scored, towers, None), batch(torch.tensor([[1.0, 1.0]] * 3)))
    assert losses.distillation.item() == pytest.approx(2.0)
    losses.total.backward()
    assert (towers["click"].grad == -2 / 3).all()
    alone = torch.autograd.grad(bce(hide := logits()["hide"][[0, 2]], LABELS[[0, 2], 1]), hide)[0]
    torch.testing.assert_close(scored["hide"].grad[[0, 2]], alone)


def test_listwise_groups_are_lists_within_a_view_type() -> None:
    config = DistillationConfig(loss="listwise_softmax", weight=1.0)
    objective = Objective(heads=HEADS, head_weights={}, distillation=config, teacher_weights=(1.0,))
    teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    with pytest.raises(TrainingError, match="with_groups"):
        objective(outputs(), batch(teacher))
    one_list = batch(teacher, groups=[4, 4, 4])  # the third row is of another view type
    losses = objective(outputs(), one_list)
    expected = sum(
        -(teacher[:2, index].softmax(0) * logits()[head][:2].log_softmax(0)).sum() for index, head in enumerate(HEADS)
    )
    assert losses.distillation.item() == pytest.approx(expected.item())
    nobody = batch(teacher, groups=[-1, -1, -1])
    assert objective(outputs(), nobody).distillation.item() == 0


def test_balance_weighs_the_imbalance_of_the_gates() -> None:
    collapsed = torch.eye(2)[:1].expand(2, 3, 2)
    plain, balanced = (
        Objective(heads=HEADS, head_weights={}, balance=b)(outputs(collapsed), batch()) for b in (0, 0.25)
    )
    assert (balanced.total - plain.total).item() == pytest.approx(0.25)
    assert Objective(heads=HEADS, head_weights={}, balance=1.0)(outputs(), batch()).total == plain.total


@pytest.mark.parametrize("field", ["head_weights", "head_temperatures"])
def test_a_head_that_does_not_exist_is_refused_by_name(field) -> None:
    config = DistillationConfig.model_validate({field: {"clik": 2.0}})
    with pytest.raises(ConfigError, match=rf"distillation.{field}.clik=2.0: no such head; use one of click, hide"):
        Objective(heads=HEADS, head_weights={}, distillation=config)
    with pytest.raises(ConfigError, match=r"head_weights.clik=1.0"):
        Objective(heads=HEADS, head_weights={"clik": 1.0})
