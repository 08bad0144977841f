"""The retraining DAG under a real Airflow with two training processes, one of which is killed; also with shards.

The days and the first champion are made beforehand, without Airflow and by one process.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from datetime import date

import numpy as np
import pytest
from e2e_support import ROOT, free_port
from lived import PARAMS, make_project, publish_day

from mmoe.demo.airflow_api import Airflow, wait_until
from mmoe.demo.loop import Loop
from mmoe.demo.narrator import Narrator
from mmoe.demo.timeline import Timeline
from mmoe.registry import Registry
from mmoe.settings import Settings
from mmoe.simulate import Faults, SimulatorConfig, write_log
from mmoe.stack.environment import StackConfig, prepare_secrets, process_environment
from mmoe.stack.processes import Stack, environment_of, strays
from mmoe.steps.context import Context
from mmoe.steps.models import batch_folder, candidate_folder, open_day
from mmoe.steps.pinning import plan_pinned_step
from mmoe.steps.plan import load_plan
from mmoe.steps.planning import plan_bootstrap_step
from mmoe.steps.release import install_step
from mmoe.steps.reproduction import reproduce_step
from mmoe.steps.scoring import calibration_share, holdout_share
from mmoe.steps.training import teachers, train_batch_step
from mmoe.train.batch import train_batch
from mmoe.train.incremental import train_incremental
from mmoe.train.resume import checkpoint_path
from mmoe.train.state import read_state

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DAG, RUN, LONGEST = "batch_training", "two__processes", 300
LOG = SimulatorConfig(seed=3, start=date(2026, 9, 1), days=9, rows_per_day=3000, users=200, ads=80, advertisers=20)
TIMELINE = Timeline(days=LOG.calendar, bootstrap_days=2, train_days=3, catch_up_days=1, holdout_days=1)
TRAIN = {"train": {"batch_size": 64, "optimizer": {"dense_lr": 0.005}}}
SETTINGS = ("params_file", "threads", "code_commit", "checkpoint_steps", "train_processes", "shard_rows")
without_torchrec = pytest.mark.skipif(
    importlib.util.find_spec("torchrec") is None, reason="the sharding extra is not installed: make test-sharding"
)


@pytest.fixture(scope="module", params=[0, pytest.param(1000, marks=without_torchrec)], ids=["whole", "sharded"])
def context(request, tmp_path_factory) -> Context:
    """A home with a champion that has learned two days, and six more days."""
    folder = tmp_path_factory.mktemp("two")
    make_project(folder / "project", PARAMS | TRAIN)
    settings = Settings(
        home=folder / "home", params_file=folder / "project" / "params.yaml", threads=1, code_commit="c0ffee",
        checkpoint_steps=5, train_processes=2, shard_rows=request.param,
    )  # fmt: skip
    context = Context(settings)
    write_log(LOG, settings.landing_path, faults=Faults())
    for day in TIMELINE.history:
        publish_day(context, day, as_of=TIMELINE.as_of)  # a head without labels would start, and score, at random
    plan = plan_bootstrap_step(context, *TIMELINE.bootstrap)["plan"]
    train_batch_step(context, plan)
    install_step(context, plan, "test")
    return context


@pytest.fixture(scope="module")
def stack(context) -> StackConfig:
    """Airflow on this home; its tasks have the home's settings."""
    settings = {f"MMOE_{name.upper()}": str(getattr(context.settings, name)) for name in SETTINGS}
    settings["MMOE_LOG_ENDS"] = str(TIMELINE.fresh)
    return StackConfig(home=context.settings.home, airflow_port=free_port(), settings=tuple(settings.items()))


@pytest.fixture
def loop(stack):
    passwords, running = prepare_secrets(stack), Stack(stack, detached=False, with_mlflow=False)
    running.start(print)
    admin, approver = (Airflow(stack.airflow_url, user, passwords[user]) for user in ("admin", "demo-approver"))
    loop = Loop(admin=admin, approver=approver, timeline=TIMELINE, narrator=Narrator(), check=running.assert_alive)
    loop.prepare()
    yield loop
    running.stop()


def workers(home) -> dict[str, int]:
    """The training's processes by rank, as torchrun numbers them."""
    variables = {pid: environment_of(pid).split(b"\0") for pid in strays(home)}
    return {each[5:].decode(): pid for pid, found in variables.items() for each in found if each.startswith(b"RANK=")}


def attempt(loop, task_id: str) -> tuple[int, str]:
    """Which attempt of a task is the last, and its state. A failed run fails the test."""
    loop.check()
    assert loop.state(DAG, RUN) != "failed"
    task = next(task for task in loop.admin.tasks(DAG, RUN) if task["task_id"] == task_id)
    return task["try_number"], task["state"]


def xcom(loop, task_id: str) -> dict:
    return loop.admin.xcom(DAG, RUN, task_id)


def late_auc(stage) -> float:
    """Of clicks, on the stage's last rows before they were learned."""
    return float(np.mean([point.auc["click"] for point in stage.curve[-20:]]))


def by_one_process(context, plan, folder):
    """What the plan trains, trained here and now."""
    common = {"schema": context.schema, "params": plan.params, "threads": 1}
    train_batch(
        **common, model=plan.model, teacher_scores=teachers(context, plan), output=folder / "batch",
        partitions=[open_day(context, ref) for ref in plan.train_days],
    )  # fmt: skip
    days = [open_day(context, ref) for ref in plan.catch_up_days]
    shares = {"holdout": holdout_share(plan, keep=False), "calibration": calibration_share(plan, keep=False)}
    candidate = folder / "candidate"
    return train_incremental(**common, **shares, start=folder / "batch", partitions=days, output=candidate).state


def test_two_processes_make_a_challenger_though_one_is_killed(context, loop, tmp_path):
    home = context.settings.home
    loop.start(DAG, RUN, {"as_of": str(TIMELINE.as_of)})
    wait_until(lambda: attempt(loop, "train") == (1, "running"), what="training", seconds=LONGEST)
    plan = load_plan(context.settings, xcom(loop, "plan")["plan"])
    kept = checkpoint_path(batch_folder(context, plan))
    wait_until(kept.exists, what="a checkpoint", seconds=LONGEST, poll=0.01)
    os.kill(workers(home)["1"], signal.SIGKILL)
    wait_until(lambda: attempt(loop, "train") == (1, "up_for_retry"), what="the failure", seconds=LONGEST)
    log = home / f"airflow/logs/dag_id={DAG}/run_id={RUN}/task_id=train/attempt=1.log"
    assert "rank      : 1 (local_rank: 1)" in log.read_text() and "(SIGKILL)" in log.read_text()
    assert (kept.exists(), workers(home)) == (True, {})

    loop.batch_training(RUN)
    assert attempt(loop, "train") >= (2, "success")
    assert 0 < xcom(loop, "train")["resumed_at"] < xcom(loop, "train")["rows"] == 3 * LOG.rows_per_day
    assert xcom(loop, "catch_up")["resumed_at"] == 0
    assert loop.state(DAG, RUN) == "success"

    report, registry = xcom(loop, "report"), Registry(context.settings)
    assert (home / "reports" / report["report"] / "report.html").is_file()
    tags = registry.tags(report["version"])
    assert (tags["processes"], tags["shard_rows"]) == ("2", str(context.settings.shard_rows))
    made = read_state(candidate_folder(context, plan))
    alone = by_one_process(context, plan, tmp_path)
    assert [stage.processes for stage in (*made.stages, *alone.stages)] == [2, 2, 1, 1]
    for two, one in zip(made.stages, alone.stages, strict=True):
        assert two.rows == one.rows
        assert late_auc(two) == pytest.approx(late_auc(one), abs=0.05) and late_auc(two) > 0.6


def test_the_version_is_made_again_by_two_processes_whatever_the_settings_say(context, stack):
    settings = context.settings.model_copy(update={"train_processes": 1, "shard_rows": 0})
    version = Registry(settings).alias("challenger")
    project = settings.params_file.parent
    assert reproduce_step(Context(settings), version.version, project)["digest"] == version.digest
    plan = plan_pinned_step(Context(settings), project / "dvc.lock")["plan"]
    environment = process_environment(stack) | {"MMOE_TRAIN_PROCESSES": "1", "MMOE_SHARD_ROWS": "0"}
    for command in ("batch", "incremental"):
        arguments = [sys.executable, "-m", "mmoe", "train", command, "--plan", plan]
        done = subprocess.run(arguments, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads(done.stdout.splitlines()[-1])
    assert (made["digest"], made["reproduces"], made["reused"]) == (version.digest, version.version, False)
