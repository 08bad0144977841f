"""The run of a training that goes on. When the training is done, `runs.log_run` makes it the finished run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LIVE = "mmoe.live"
METRICS_A_CALL = 1000
Curves = Mapping[str, Sequence[tuple[int, float]]]


def running(client: "MlflowClient", experiment: str, key: str) -> "Run | None":
    """The run of the training `key` that goes on, or went on when it was killed."""
    wanted = f"tags.`{LIVE}` = '{key}' AND attributes.status = 'RUNNING'"
    return next(iter(client.search_runs([experiment], filter_string=wanted, order_by=["start_time"])), None)


def log_live(client: "MlflowClient", experiment: str, key: str, name: str, curves: Curves) -> None:
    run = running(client, experiment, key) or client.create_run(experiment, run_name=name, tags={LIVE: key})
    log_curves(client, run, curves)


def fail_live(client: "MlflowClient", experiment: str, key: str) -> None:
    run = running(client, experiment, key)
    if run is not None:
        client.set_terminated(run.info.run_id, status="FAILED")


def log_curves(client: "MlflowClient", run: "Run", curves: Curves) -> None:
    """Logging the same points again changes nothing: they carry the run's own time."""
    from mlflow.entities import Metric

    start = run.info.start_time
    metrics = [Metric(name, value, start, step) for name, curve in curves.items() for step, value in curve]
    for first in range(0, len(metrics), METRICS_A_CALL):
        client.log_batch(run.info.run_id, metrics=metrics[first : first + METRICS_A_CALL])
