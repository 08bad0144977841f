"""mmoe.steps.curves: by rows learned, over all stages; in MLflow while a training goes on, and whatever MLflow does."""

import time
from types import SimpleNamespace

import pytest

from mmoe.errors import TrainingError
from mmoe.registry import Registry
from mmoe.settings import Settings
from mmoe.steps import curves as module
from mmoe.steps.curves import curve_points, curves, gate_curves, live_key, told
from mmoe.train.spec import Progress
from mmoe.train.state import CurvePoint, GatePoint


def stage(rows: int, *points: CurvePoint) -> SimpleNamespace:
    return SimpleNamespace(rows=rows, curve=points)


def test_stages_follow_one_another_and_gates_have_curves_of_their_own() -> None:
    gates = {"click": GatePoint(entropy=0.5, experts=1.5)}
    first = CurvePoint(step=1, rows=10, task={"click": 0.7}, distillation=0.2, gates=gates)
    second = CurvePoint(step=1, rows=5, task={"click": 0.6})
    state = SimpleNamespace(stages=(stage(20, first), stage(5, second)))
    assert curves(curve_points(state)) == {"loss/click": [(10, 0.7), (25, 0.6)], "loss/distillation": [(10, 0.2)]}
    assert gate_curves(curve_points(state)) == {"gate_entropy/click": [(10, 0.5)], "experts_used/click": [(10, 1.5)]}


PLAN = SimpleNamespace(digest="p1", kind="batch", original=None)


@pytest.fixture
def at_once(monkeypatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_CURVES", 0.0)


def at(*losses: float) -> Progress:
    curve = tuple(CurvePoint(step=n + 1, rows=10 * (n + 1), task={"click": loss}) for n, loss in enumerate(losses))
    return Progress(
        rows=10, rows_planned=100, loss=0.5, task={"click": 0.5}, distillation=None, examples_per_second=1.0,
        curve=curve,
    )  # fmt: skip


def in_mlflow(settings: Settings, status: str) -> list[tuple[int, float]]:
    """The points of the only run of this status; none while there is no such run."""
    from mlflow import MlflowClient

    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    experiment = client.get_experiment_by_name(settings.registered_model)
    runs = client.search_runs([experiment.experiment_id], f"attributes.status = '{status}'") if experiment else []
    found = [each for run in runs for each in client.get_metric_history(run.info.run_id, "loss/click")]
    return [(each.step, each.value) for each in found]


def soon(found) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_points_are_in_mlflow_while_the_training_goes_on_and_once_when_it_is_done(tmp_path, at_once) -> None:
    settings = Settings(home=tmp_path)
    registry = Registry(settings)
    with told(SimpleNamespace(settings=settings), PLAN, "incremental", before=500) as tell:
        tell(at(0.75))
        soon(lambda: in_mlflow(settings, "RUNNING") == [(510, 0.75)])
        tell(at(0.75, 0.5))
        soon(lambda: in_mlflow(settings, "RUNNING") == [(510, 0.75), (520, 0.5)])
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("w")
    whole = {"loss/click": [(100, 0.9), (510, 0.75), (520, 0.5), (530, 0.25)]}
    registry.log_training(
        key="k", name="n", params={}, metrics={}, curves=whole, tags={}, folder=tmp_path / "model",
        live=live_key(PLAN, "incremental"),
    )  # fmt: skip
    assert sorted(in_mlflow(settings, "FINISHED")) == whole["loss/click"] and not in_mlflow(settings, "RUNNING")

    with pytest.raises(TrainingError), told(SimpleNamespace(settings=settings), PLAN, "batch") as tell:
        tell(at(0.75))
        raise TrainingError("the loss has exploded")
    assert in_mlflow(settings, "FAILED") == [(10, 0.75)]


def test_without_mlflow_a_training_goes_on_and_says_so(tmp_path, at_once, monkeypatch, capsys) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = Settings(home=tmp_path, mlflow_tracking_uri="http://127.0.0.1:9")
    with told(SimpleNamespace(settings=settings), PLAN, "batch") as tell:
        tell(at(0.75))
    assert "no curves in MLflow yet: MLflow cannot be asked" in capsys.readouterr().err


def test_a_reproduction_leaves_no_run(tmp_path, at_once) -> None:
    again = SimpleNamespace(digest="p1", kind="batch", original="version 3")
    with told(SimpleNamespace(settings=Settings(home=tmp_path)), again, "batch") as tell:
        tell(at(0.75))
    assert not list(tmp_path.iterdir())
