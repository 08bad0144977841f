"""`mmoe pin` where the lake is a bucket: DVC's dataset, the plan on it, and what makes it unusable."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from handmade import DAY, SCHEMA, deliver, raw_rows

from mmoe.config import RetentionConfig
from mmoe.errors import PartitionExpiredError, TrainingError
from mmoe.lake import retention
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Validation
from mmoe.lake.publish import publish
from mmoe.lake.registered import registered_stores
from mmoe.registry import Registry
from mmoe.settings import Settings
from mmoe.steps.context import Context
from mmoe.steps.dvc_project import dvc
from mmoe.steps.pin import load_pin, pinned_digest
from mmoe.steps.pinning import pin_step, plan_pinned_step

ROOT = Path(__file__).resolve().parents[2]
DAYS = [DAY + timedelta(days=number) for number in range(4)]
AS_OF = DAYS[-1] + timedelta(days=2)


@pytest.fixture
def context(make_bucket, params, tmp_path):
    """Four published days in a bucket, a champion, and a DVC project."""
    content = params.model_dump(mode="json") | {"window": {"train_days": 1, "catch_up_days": 1, "holdout_days": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "schema.yaml").write_text(yaml.safe_dump(SCHEMA.model_dump(mode="json")))
    project = tmp_path / "project"
    (project / ".dvc").mkdir(parents=True)
    (project / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    shutil.copy(ROOT / "dvc.yaml", project)
    settings = Settings(
        home=tmp_path / "home", lake=f"s3://{make_bucket('moto versioned')}/lake", params_file=tmp_path / "params.yaml",
        schema_file=str(tmp_path / "schema.yaml"), dvc_project=project,
    )  # fmt: skip
    context = Context(settings)
    for day in DAYS:
        put(context, day)
    registry = Registry(settings)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"weights")
    run = registry.log_training(
        key="k", name="n", params={}, metrics={}, curves={}, tags={}, folder=tmp_path / "model"
    )  # fmt: skip
    before = DAYS[0] - timedelta(days=1)
    registry.register(run, digest="d" * 64, line="l", stage="bootstrap", trained_through=before, days=[before])
    registry.bootstrap("1", actor="test")
    return context


def put(context, day, seed=0):
    deliver(context.settings.landing_path, raw_rows(day, rows=50, seed=seed), day=day)
    staged = stage_day(context.store, context.settings.landing_path, SCHEMA, day, as_of=AS_OF)
    publish(context.store, staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA)


def test_a_window_in_a_bucket_is_pinned_planned_on_and_refused_once_its_days_changed_or_expired(context):
    project = context.settings.dvc_project
    found = pin_step(context, AS_OF, project)
    assert found["days"] == [str(day) for day in DAYS]
    assert pinned_digest(project / "dvc.lock") == found["window"]
    assert load_pin(context.store, found["window"]).champion.version == "1"
    locked = yaml.safe_load((project / "dvc.lock").read_text())["datasets"][0]
    assert locked["url"] == f"remote://lake/windows/{found['window']}.json"
    assert locked["meta"]["size"] == len(context.store.read_bytes(f"windows/{found['window']}.json"))
    dvc(project, "dataset", "update", "window")  # DVC reads the bucket with the same credentials
    assert pin_step(context, AS_OF, project) == found

    planned = plan_pinned_step(context, project / "dvc.lock")
    assert (planned["train_days"], planned["catch_up_days"]) == ([str(DAYS[1])], [str(DAYS[2])])
    put(context, DAYS[1], seed=9)
    with pytest.raises(TrainingError, match=f"{DAYS[1]} was published anew since"):
        plan_pinned_step(context, project / "dvc.lock")

    stores = registered_stores(context.settings, SCHEMA, context.store)
    config = RetentionConfig(days=4, max_share=1.0)
    retention.apply(stores, retention.plan(stores, AS_OF, config, today=AS_OF))
    with pytest.raises(PartitionExpiredError, match=rf"1 of its 4 days .*{DAYS[0]}: ledger entry 0"):
        plan_pinned_step(context, project / "dvc.lock")
