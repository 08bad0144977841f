"""What a training's state becomes in MLflow: curves by rows learned, over all stages."""

from types import SimpleNamespace

from mmoe.steps.training import curves, gate_curves
from mmoe.train.state import CurvePoint, GatePoint


def stage(rows: int, *points: CurvePoint) -> SimpleNamespace:
    return SimpleNamespace(rows=rows, curve=points)


def test_stages_follow_one_another_and_gates_have_curves_of_their_own() -> None:
    gates = {"click": GatePoint(entropy=0.5, experts=1.5)}
    first = CurvePoint(step=1, rows=10, task={"click": 0.7}, distillation=0.2, gates=gates)
    second = CurvePoint(step=1, rows=5, task={"click": 0.6})
    state = SimpleNamespace(stages=(stage(20, first), stage(5, second)))
    assert curves(state) == {"loss/click": [(10, 0.7), (25, 0.6)], "loss/distillation": [(10, 0.2)]}
    assert gate_curves(state) == {"gate_entropy/click": [(10, 0.5)], "experts_used/click": [(10, 1.5)]}
