"""Runs and versions, on a real MLflow store."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mmoe.errors import CorruptionError, RegistryError
from mmoe.registry import Registry, UsedDay
from mmoe.registry.runs import flatten, folder_digest
from mmoe.settings import Settings

Log = Callable[..., str]
DAYS = [date(2026, 3, 1), date(2026, 3, 3)]


@pytest.fixture
def client(settings: Settings, registry: Registry) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(settings.tracking_uri, settings.tracking_uri)


def test_a_run_states_parameters_metrics_curves_and_partitions(client: Any, log: Log) -> None:
    params = {"seed": 17, "model": {"experts": [{"kind": "dcnv2", "hidden": [128, 64]}]}}
    days = [UsedDay(day=DAYS[0], digest="f" * 64, use="training")]
    run = client.get_run(log(params=params, metrics={"auc.click": 0.8}, days=days))
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "seed": "17", "model.experts.0.kind": "dcnv2", "model.experts.0.hidden": "[128, 64]",
    }  # fmt: skip
    assert run.data.metrics["auc.click"] == 0.8
    assert [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, "train_loss")] == [
        (0, 0.7), (100, 0.6),
    ]  # fmt: skip
    dataset = run.inputs.dataset_inputs[0]
    assert (dataset.dataset.name, dataset.tags[0].value) == ("dt=2026-03-01", "training")
    assert json.loads(dataset.dataset.source) == {"manifest": "f" * 64}


def test_more_than_a_thousand_points_are_logged(client: Any, log: Log) -> None:
    curve = [(step, step / 2) for step in range(2500)]
    run_id = log(curves={"train_loss": curve}, params={f"p{number}": number for number in range(150)})
    assert len(client.get_metric_history(run_id, "train_loss")) == 2500
    assert len(client.get_run(run_id).data.params) == 150


def test_logging_a_key_again_returns_its_run(log: Log) -> None:
    assert log("plan-1") == log("plan-1", name="again")
    assert log("plan-2") != log("plan-1")


def test_an_interrupted_run_is_marked_killed_and_replaced(
    client: Any, settings: Settings, trained: Path, log: Log
) -> None:
    script = """
        import os, signal, sys
        from pathlib import Path
        from mlflow import MlflowClient
        from mmoe.registry import Registry
        from mmoe.settings import Settings
        MlflowClient.log_artifacts = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
        Registry(Settings(home=Path(sys.argv[1]), registered_model="test_model")).log_training(
            key="plan-1", name="n", params={}, metrics={}, curves={}, tags={}, folder=Path(sys.argv[2]))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(settings.home), str(trained)]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    finished = log("plan-1")
    experiment = client.get_experiment_by_name("test_model")
    assert experiment is not None
    states = {run.info.run_id: run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert states.pop(finished) == "FINISHED"
    assert list(states.values()) == ["KILLED"]
    assert log("plan-1") == finished


def test_a_training_that_goes_on_has_a_run_with_its_curves_which_becomes_the_finished_one(
    client: Any, registry: Registry, log: Log
) -> None:
    registry.log_live("plan-1 batch", "in training", {"loss/click": [(100, 0.7)]})
    registry.log_live("plan-1 batch", "in training", {"loss/click": [(100, 0.7), (200, 0.6)]})  # after a kill, say
    live = only_run(client, "RUNNING")
    assert live.info.run_name == "in training"
    assert history(client, live.info.run_id) == [(100, 0.7), (200, 0.6)]
    other = log("other", live="plan-2 batch")
    curve = [(100, 0.7), (200, 0.6), (300, 0.5)]
    run_id = log("model-1", live="plan-1 batch", curves={"loss/click": curve})
    assert run_id == live.info.run_id != other
    assert history(client, run_id) == curve
    finished = client.get_run(run_id)
    assert (finished.info.status, finished.info.run_name) == ("FINISHED", "batch 2026-03-01")
    assert finished.data.tags["mmoe.key"] == "model-1" and finished.data.tags["kind"] == "batch"
    assert registry.run("model-1") == run_id == log("model-1", live="plan-1 batch")


def test_a_training_that_fails_leaves_a_failed_run_and_the_next_attempt_has_its_own(
    client: Any, registry: Registry
) -> None:
    registry.fail_live("plan-1 batch")
    registry.log_live("plan-1 batch", "in training", {"loss/click": [(100, 0.7)]})
    registry.fail_live("plan-1 batch")
    failed = only_run(client, "FAILED")
    registry.log_live("plan-1 batch", "in training", {"loss/click": [(100, 0.9)]})
    assert only_run(client, "RUNNING").info.run_id != failed.info.run_id
    assert history(client, failed.info.run_id) == [(100, 0.7)]


def only_run(client: Any, status: str) -> Any:
    experiment = client.get_experiment_by_name("test_model").experiment_id
    (run,) = client.search_runs([experiment], filter_string=f"attributes.status = '{status}'")
    return run


def history(client: Any, run_id: str) -> list[tuple[int, float]]:
    return sorted((each.step, each.value) for each in client.get_metric_history(run_id, "loss/click"))


def test_later_metrics_may_be_logged_twice(client: Any, registry: Registry, log: Log) -> None:
    run_id = log()
    for _ in range(2):
        registry.log_metrics(run_id, {"auc/click/search": 0.8})
    assert [each.value for each in client.get_metric_history(run_id, "auc/click/search")] == [0.8]


def test_a_report_is_kept_beside_its_model(client: Any, registry: Registry, log: Log, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>")
    (tmp_path / "report.json").write_text("{}")
    run_id = log()
    registry.log_report(run_id, tmp_path / "report.html", tmp_path / "report.json")
    assert {file.path for file in client.list_artifacts(run_id, "report")} == {
        "report/report.html",
        "report/report.json",
    }


def test_a_folder_without_files_is_refused(log: Log, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"absent.*no files to log"):
        log(folder=tmp_path / "absent")


def test_a_version_states_where_it_comes_from(registry: Registry, log: Log) -> None:
    run_id = log(params={"seed": 17, "model": {"experts": [{"kind": "mlp"}]}})
    version = registry.register(
        run_id, digest="a" * 64, line="line-1", stage="batch", trained_through=DAYS[1], days=DAYS,
        parent=None, baseline="1", teacher="t" * 64,
    )  # fmt: skip
    found = registry.version(version.version)
    assert found == version
    assert (found.run_id, found.stage, found.first_day, found.trained_through, found.days) == (
        run_id, "batch", DAYS[0], DAYS[1], 2,
    )  # fmt: skip
    assert (found.parent, found.baseline, found.teacher, found.verdict) == (None, "1", "t" * 64, None)
    assert registry.config(found.version) == {"seed": 17, "model": {"experts": [{"kind": "mlp"}]}}
    registry.set_verdict(found.version, verdict="inconclusive", report="r-1")
    assert (registry.version(found.version).verdict, registry.version(found.version).report) == ("inconclusive", "r-1")


def test_registering_a_digest_again_returns_its_version(registry: Registry, log: Log) -> None:
    def register(digest: str) -> str:
        return registry.register(
            log(), digest=digest, line="l", stage="bootstrap", trained_through=DAYS[0], days=DAYS[:1]
        ).version

    assert [register("a"), register("a"), register("b"), register("a")] == ["1", "1", "2", "1"]
    assert [version.digest for version in registry.versions()] == ["a", "b"]


def test_unusable_values_of_a_version_are_refused(registry: Registry, log: Log) -> None:
    with pytest.raises(RegistryError, match="stage='weekly': no such stage; use one of bootstrap"):
        registry.register(log(), digest="a", line="l", stage="weekly", trained_through=DAYS[0], days=DAYS[:1])  # type: ignore[arg-type]
    with pytest.raises(RegistryError, match="newest of its days is 2026-03-03"):
        registry.register(log(), digest="a", line="l", stage="batch", trained_through=DAYS[0], days=DAYS)
    with pytest.raises(RegistryError, match="version='9': not registered"):
        registry.version("9")


def test_a_registry_without_versions_has_no_champion(registry: Registry) -> None:
    assert registry.alias("champion") is None
    assert registry.versions() == []


def test_a_version_is_downloaded_whole_and_verified(
    registry: Registry, add_version: Callable[..., object], trained: Path, tmp_path: Path
) -> None:
    add_version("a")
    target = tmp_path / "deep" / "copy"
    assert registry.download("1", target) == target
    assert folder_digest(target) == folder_digest(trained)
    (target / "weights.safetensors").write_bytes(b"cut")
    registry.download("1", target)
    assert folder_digest(target) == folder_digest(trained)
    assert [path.name for path in target.parent.iterdir()] == ["copy"]


def test_a_version_whose_files_changed_in_mlflow_is_not_handed_out(
    registry: Registry, settings: Settings, add_version: Callable[..., object], tmp_path: Path
) -> None:
    add_version("a")
    stored = next(settings.artifact_root.rglob("weights.safetensors"))
    stored.write_bytes(b"something else")
    with pytest.raises(CorruptionError, match="not those that were logged"):
        registry.download("1", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_two_models_do_not_see_each_other(settings: Settings, add_version: Callable[..., object]) -> None:
    add_version("a")
    assert Registry(settings.model_copy(update={"registered_model": "another"})).versions() == []


@pytest.mark.e2e
def test_two_first_users_of_a_new_store_do_not_collide(tmp_path: Path) -> None:
    script = "import sys, pathlib; from mmoe.registry import Registry; from mmoe.settings import Settings; "
    script += "Registry(Settings(home=pathlib.Path(sys.argv[1])))"
    both = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE) for _ in range(2)]
    assert [(process.communicate()[1][-300:], process.returncode) for process in both] == [(b"", 0)] * 2


def test_importing_the_registry_loads_no_mlflow() -> None:
    script = "import sys, mmoe.registry; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], env=dict(os.environ)).returncode == 0


def test_nested_parameters_become_dotted_names() -> None:
    content = {"a": {"b": [1, 2], "c": None}, "d": [{"e": "x"}, {"e": True}]}
    assert dict(flatten(content)) == {"a.b": "[1, 2]", "a.c": "null", "d.0.e": "x", "d.1.e": "true"}
