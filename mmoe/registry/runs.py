"""One MLflow run a training: parameters, metrics, curves, the partitions it read, and its files."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmoe.errors import CorruptionError, RegistryError
from mmoe.registry.live import LIVE, METRICS_A_CALL, log_curves, running

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KEY, FILES = "mmoe.key", "mmoe.files"
MODEL, REPORT, CONFIG = "model", "report", "config.json"
PARAMS_A_CALL = 100
DATASET_DIGEST_CHARACTERS = 36
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class UsedDay:
    """A partition that a training read."""

    day: date
    digest: str
    use: str
    """What for: training, distillation or replay."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a run states about a finished training."""

    key: str
    """Identifies its inputs: a second run of the same key is the first one."""
    name: str
    params: Mapping[str, Any]
    """The resolved configuration, nested as it is."""
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    tags: Mapping[str, str]
    folder: Path
    days: Collection[UsedDay]
    live: str
    """The key under which its curves were logged while it went on."""


def log_run(client: "MlflowClient", experiment: str, training: Training) -> str:
    """Run id of the finished run of this key; made now if there is none.

    A run that was interrupted is marked KILLED and replaced: only a FINISHED run has all its files.
    """
    from mlflow.entities import RunTag

    if not training.folder.is_dir() or not any(training.folder.iterdir()):
        raise RegistryError(f"folder={str(training.folder)!r}: no files to log; give a finished training's folder.")
    finished = finished_run(client, experiment, training.key)
    if finished is not None:
        return finished
    for run in runs_with_key(client, experiment, training.key):
        if run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, status="KILLED")
    tags = {**training.tags, KEY: training.key, FILES: folder_digest(training.folder)}
    run = running(client, experiment, training.live) or client.create_run(experiment, tags={LIVE: training.live})
    client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in tags.items()])
    client.update_run(run.info.run_id, name=training.name)
    fill_run(client, run, training)
    client.set_terminated(run.info.run_id, status="FINISHED")
    return str(run.info.run_id)


def finished_run(client: "MlflowClient", experiment: str, key: str) -> str | None:
    """Id of the first finished run with this key."""
    runs = runs_with_key(client, experiment, key)
    return next((str(run.info.run_id) for run in runs if run.info.status == "FINISHED"), None)


def runs_with_key(client: "MlflowClient", experiment: str, key: str) -> "list[Run]":
    """Oldest first."""
    return list(client.search_runs([experiment], filter_string=f"tags.`{KEY}` = '{key}'", order_by=["start_time"]))


def fill_run(client: "MlflowClient", run: "Run", training: Training) -> None:
    from mlflow.entities import Metric, Param

    log_curves(client, run, training.curves)
    run_id, now = run.info.run_id, run.info.start_time
    params = [Param(name, value) for name, value in flatten(training.params)]
    metrics = [Metric(name, value, now, 0) for name, value in training.metrics.items()]
    for some_params in chunks(params, PARAMS_A_CALL):
        client.log_batch(run_id, params=some_params)
    for some_metrics in chunks(metrics, METRICS_A_CALL):
        client.log_batch(run_id, metrics=some_metrics)
    log_days(client, run_id, training.days)
    client.log_dict(run_id, dict(training.params), CONFIG)
    client.log_artifacts(run_id, str(training.folder), MODEL)


def log_days(client: "MlflowClient", run_id: str, days: Iterable[UsedDay]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(
                name=f"dt={used.day}", digest=used.digest[:DATASET_DIGEST_CHARACTERS], source_type="lake partition",
                source=json.dumps({"manifest": used.digest}),
            ),
            [InputTag("mlflow.data.context", used.use)],
        )
        for used in days
    ]  # fmt: skip
    if inputs:
        client.log_inputs(run_id, inputs)


def add_metrics(client: "MlflowClient", run_id: str, metrics: Mapping[str, float]) -> None:
    """Metrics found after training. Logging the same again changes nothing: they carry the run's own time."""
    from mlflow.entities import Metric

    start = client.get_run(run_id).info.start_time
    for some in chunks([Metric(name, value, start, 0) for name, value in metrics.items()], METRICS_A_CALL):
        client.log_batch(run_id, metrics=some)


def add_report(client: "MlflowClient", run_id: str, files: Iterable[Path]) -> None:
    for path in files:
        client.log_artifact(run_id, str(path), REPORT)


def download_report(client: "MlflowClient", run_id: str, folder: Path) -> None:
    """The files of `add_report` again, whole or not at all. Raises RegistryError where the run has none."""
    names = {Path(item.path).name for item in client.list_artifacts(run_id, REPORT)}
    if not {"report.html", "report.json"} <= names:
        raise RegistryError(f"run={run_id}: MLflow keeps no report of it; run `mmoe report --plan PLAN` again.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as aside:
        for path in Path(client.download_artifacts(run_id, REPORT, aside)).iterdir():
            path.replace(folder / path.name)


def read_config(client: "MlflowClient", run_id: str) -> dict[str, Any]:
    """The resolved configuration that `log_run` was given."""
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(run_id, CONFIG, folder)
        content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return content


def read_tags(client: "MlflowClient", run_id: str) -> dict[str, str]:
    return dict(client.get_run(run_id).data.tags)


def download_files(client: "MlflowClient", run_id: str, folder: Path) -> Path:
    """The training's folder again, verified. Raises CorruptionError when its files are not those logged."""
    expected = client.get_run(run_id).data.tags.get(FILES)
    if folder.is_dir() and folder_digest(folder) == expected:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as aside:
        fetched = Path(client.download_artifacts(run_id, MODEL, aside))
        if folder_digest(fetched) != expected:
            raise CorruptionError(
                f"run={run_id}: its files in MLflow are not those that were logged; restore them, or train again."
            )
        shutil.rmtree(folder, ignore_errors=True)
        fetched.rename(folder)
    return folder


def folder_digest(folder: Path) -> str:
    """sha256 over the relative names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        digest.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def flatten(content: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings, and sequences of mappings, as dotted names with text values."""
    if isinstance(content, Mapping):
        pairs: Iterable[tuple[object, Any]] = content.items()
    elif isinstance(content, list | tuple) and any(isinstance(value, Mapping) for value in content):
        pairs = enumerate(content)
    else:
        yield prefix, content if isinstance(content, str) else json.dumps(content, default=str)
        return
    for name, value in pairs:
        yield from flatten(value, f"{prefix}.{name}" if prefix else str(name))


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
