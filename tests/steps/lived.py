"""A home with a history, without Airflow: days published, a first champion, a distilled challenger, a daily update."""

import shutil
import subprocess
from datetime import date, timedelta
from pathlib import Path

import yaml

from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Validation
from mmoe.lake.publish import publish
from mmoe.lake.staging import load_staged
from mmoe.registry import Registry
from mmoe.settings import Settings
from mmoe.simulate import Faults, SimulatorConfig, write_log
from mmoe.steps.context import Context
from mmoe.steps.planning import BatchChoices, plan_batch_step, plan_bootstrap_step, plan_incremental_step
from mmoe.steps.release import install_step
from mmoe.steps.training import score_teacher_step, train_batch_step, train_incremental_step

ROOT = Path(__file__).resolve().parents[2]
FIRST = date(2026, 9, 1)
DAYS = tuple(FIRST + timedelta(days=number) for number in range(9))
AS_OF = FIRST + timedelta(days=8)
EXPERT = {"hidden": [16, 8]}
PARAMS = {
    "baseline": {"experts": [{"kind": "dcnv2", **EXPERT}], "embedding_dim": 4},
    "model": {"experts": [{"kind": "dcnv2", **EXPERT}, {"kind": "mlp", **EXPERT}], "embedding_dim": 4},
    "train": {"batch_size": 32, "optimizer": {"dense_lr": 0.02}},  # enough steps to be near the label rates
    "window": {"train_days": 3, "catch_up_days": 1, "holdout_days": 1},
    "retention": {"days": 4, "max_share": 1.0},
    "incremental": {"replay": {"days": 3, "share": 0.3}},
    "gate": yaml.safe_load((ROOT / "params.yaml").read_text())["gate"],
}


def live(home: Path, project: Path) -> Context:
    """Days 1 to 9; version 1 learned 1 to 2, version 2 (distilled) 3 to 6, version 3 (daily) 7 to 9, and a part
    of 6 again: 4 and 5 are to be replayed too, but on day 10 they are not retained any more."""
    make_project(project)
    settings = Settings(home=home, params_file=project / "params.yaml", threads=1, code_commit="c0ffee")
    context = Context(settings)
    config = SimulatorConfig(seed=3, start=FIRST, days=len(DAYS), rows_per_day=500, users=200, ads=80, advertisers=20)
    write_log(config, home / "landing", faults=Faults())
    for day in DAYS:
        publish_day(context, day)
    bootstrap = plan_bootstrap_step(context, DAYS[0], DAYS[1])["plan"]
    train_batch_step(context, bootstrap)
    install_step(context, bootstrap, "test")
    train_plan(context, plan_batch_step(context, AS_OF, BatchChoices(experts="mlp, dcnv2"))["plan"])
    registry = Registry(settings)
    registry.promote(
        "2", expected_champion="1", digest=registry.version("2").digest, actor="test", reason="test", report="none"
    )
    train_plan(context, plan_incremental_step(context, DAYS[-1])["plan"])
    return context


def publish_day(context: Context, day: date, *, as_of: date | None = None) -> None:
    stage_day(context.store, context.settings.landing_path, context.schema, day, as_of=as_of)
    staged = load_staged(context.store, day)
    publish(context.store, staged, Validation(status="passed", subject=staged.digest, checks=1), context.schema)


def train_plan(context: Context, plan: str) -> dict:
    score_teacher_step(context, plan)
    train_batch_step(context, plan)
    return train_incremental_step(context, plan)


def make_project(project: Path, params: dict = PARAMS) -> None:
    """A clone as DVC and git see it: dvc.yaml and params.yaml, committed."""
    (project / ".dvc").mkdir(parents=True)
    shutil.copy(ROOT / ".dvc" / "config", project / ".dvc" / "config")
    shutil.copy(ROOT / "dvc.yaml", project)
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "project"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run(["git", *identity, *arguments], cwd=project, check=True)
