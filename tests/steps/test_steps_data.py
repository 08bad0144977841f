"""The data plane's commands on a lake of their own: late rows and late labels, end to end."""

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mmoe.errors import LakeError, TrainingError
from mmoe.lake.examination import read_examination
from mmoe.lake.partitions import partition_prefix
from mmoe.lake.quarantine import list_quarantined
from mmoe.lake.reader import find_manifest, open_partition, read_manifest
from mmoe.lake.staging import load_staged, save_staged
from mmoe.settings import Settings
from mmoe.steps.context import Context
from mmoe.steps.data import ingest_step, mature_step, publish_step, validate_step
from mmoe.steps.judging import warned
from mmoe.steps.planning import BatchChoices, plan_batch_step, plan_bootstrap_step

sys.path.append(str(Path(__file__).parents[1] / "lake"))  # for handmade.py
from handmade import DAY, SCHEMA, deliver, raw_rows

NEXT, FINAL = DAY + timedelta(days=1), DAY + timedelta(days=2)


@pytest.fixture
def context(tmp_path):
    schema = tmp_path / "handmade.yaml"
    schema.write_text(yaml.safe_dump(SCHEMA.model_dump(mode="json")))
    return Context(Settings(home=tmp_path / "home", schema_file=str(schema)))


def take(context, day: date):
    ingest_step(context, day)
    validate_step(context, day)
    return publish_step(context, day)


def publish_two_days(context):
    """DAY on time but for its last 20 rows and its saves, which come with NEXT."""
    landing = context.settings.landing_path
    deliver(landing, raw_rows(rows=200).slice(0, 180))
    take(context, DAY)
    deliver(landing, raw_rows(NEXT, rows=200, seed=1), day=NEXT)
    deliver(landing, raw_rows(rows=200).slice(180), "late.parquet", day=NEXT)
    deliver(landing, raw_rows(rows=200).select(["event_id", "event_time", "save"]), "saves.parquet", day=NEXT)
    assert ingest_step(context, NEXT)["late_days"] == {str(DAY): 220}
    validate_step(context, NEXT)
    publish_step(context, NEXT)


def test_the_gate_counts_days_with_a_new_source_column_as_warned_and_not_those_with_one_less(context):
    deliver(context.settings.landing_path, raw_rows())
    deliver(context.settings.landing_path, raw_rows(NEXT, seed=1).drop_columns("unused"), day=NEXT)
    new = raw_rows(FINAL, seed=2).append_column("coupon", pa.array(["x"] * 200))
    deliver(context.settings.landing_path, new, day=FINAL)
    for day in (DAY, NEXT, FINAL):
        take(context, day)
    failures = [read_manifest(context.store, day).validation.failures for day in (DAY, NEXT, FINAL)]
    assert [len(found) for found in failures] == [0, 1, 1]
    assert [warned(context, day) for day in (DAY, NEXT, FINAL)] == [False, False, True]


def test_a_window_too_old_for_its_model_to_be_promoted_is_refused_before_it_is_trained_on(context, tmp_path):
    for number, day in enumerate((DAY, NEXT, FINAL)):
        deliver(context.settings.landing_path, raw_rows(day, seed=number), day=day)
        take(context, day)
    params = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params | {"retention": {"max_model_age_days": 2}}))
    context = Context(context.settings.model_copy(update={"params_file": tmp_path / "params.yaml"}))
    with pytest.raises(TrainingError, match=rf"begins on {DAY}, 3 days before 2026-03-13, and with .*=2 its model"):
        plan_bootstrap_step(context, DAY, FINAL)
    assert plan_bootstrap_step(context, NEXT, FINAL)["train_days"] == [str(NEXT), str(FINAL)]
    choices = BatchChoices(train_days=1, catch_up_days=0, holdout_days=1)
    with pytest.raises(TrainingError, match=rf"begins on {DAY}, 3 days before 2026-03-13"):
        plan_batch_step(context, FINAL + timedelta(days=1), choices)


def test_a_maturing_pass_brings_late_rows_and_final_labels_into_their_day_and_then_has_nothing_to_do(context):
    publish_two_days(context)
    before = read_manifest(context.store, DAY)
    assert (before.rows, before.labels["save"].nulls) == (180, 180)
    assert mature_step(context, FINAL) == {"as_of": str(FINAL), "days": [str(DAY)]}
    after = read_manifest(context.store, DAY)
    assert (after.rows, after.labels["save"].nulls, after.as_of) == (200, 0, FINAL)
    assert after.labels["save"].positives == sum(raw_rows(rows=200)["save"].to_pylist())
    content = {entry.key: context.store.read_bytes(entry.key) for entry in context.store.list("")}
    assert mature_step(context, FINAL)["days"] == []
    take(context, DAY)  # an ingest of the day alone keeps what is final
    assert {entry.key: context.store.read_bytes(entry.key) for entry in context.store.list("")} == content


def test_a_day_that_does_not_pass_again_keeps_its_publication_and_the_pass_fails_after_all_others(context):
    landing = context.settings.landing_path
    deliver(landing, raw_rows(DAY - timedelta(days=1)), day=DAY - timedelta(days=1))
    take(context, DAY - timedelta(days=1))
    publish_two_days(context)
    digest = open_partition(context.store, DAY, context.schema).digest
    (landing / f"dt={DAY}" / "part-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(LakeError, match=rf"day={DAY}: quarantined"):
        mature_step(context, FINAL)
    assert open_partition(context.store, DAY, context.schema).digest == digest
    assert read_manifest(context.store, DAY - timedelta(days=1)).labels["save"].nulls == 0
    assert [record.day for record in list_quarantined(context.store)] == [DAY]


def test_validating_again_what_is_published_says_the_same(context):
    deliver(context.settings.landing_path, raw_rows())
    ingest_step(context, DAY)
    first = validate_step(context, DAY)
    publish_step(context, DAY)
    assert validate_step(context, DAY) == first
    publish_step(context, DAY)


def test_the_commands_end_with_one_json_line_and_refuse_with_a_reason(context, tmp_path):
    environment = {
        **os.environ,
        "MMOE_HOME": str(context.settings.home),
        "MMOE_SCHEMA_FILE": context.settings.schema_file,
    }

    def mmoe(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "mmoe", *arguments], env=environment, capture_output=True, text=True, check=False
        )

    refused = mmoe("ingest", "--date", str(DAY))
    assert refused.returncode == 1
    assert "No landing files for 2026-03-10" in refused.stderr
    deliver(context.settings.landing_path, raw_rows(rows=50))
    done = mmoe("ingest", "--date", str(DAY), "--as-of", str(FINAL))
    assert (done.returncode, json.loads(done.stdout.splitlines()[-1])["rows"]) == (0, 50)
    assert json.loads(mmoe("mature", "--as-of", str(FINAL)).stdout.splitlines()[-1])["days"] == []
    assert mmoe("mature").returncode == 2
    (staged,) = [entry.key for entry in context.store.list("_staging/") if entry.key.endswith(".parquet")]
    table: pa.Table = pq.read_table(context.store.local_path(staged))
    assert table["save"].null_count == 0


def test_staged_rows_that_are_not_what_was_stated_of_them_are_in_quarantine_before_anybody_reads_them(context):
    deliver(context.settings.landing_path, raw_rows())
    ingest_step(context, DAY)
    staged = load_staged(context.store, DAY)
    save_staged(context.store, staged.model_copy(update={"nulls": {**staged.nulls, "price": 150}}))
    with pytest.raises(LakeError, match=f"day={DAY}: quarantined: price: column_proportion_of_non_null"):
        validate_step(context, DAY)
    assert find_manifest(context.store, DAY) is None
    assert [record.day for record in list_quarantined(context.store)] == [DAY]


def test_publishing_reads_the_bytes_again_and_asks_each_suite_once(context, monkeypatch):
    deliver(context.settings.landing_path, raw_rows())
    ingest_step(context, DAY)
    validate_step(context, DAY)
    monkeypatch.setattr("mmoe.quality.verification.examine", pytest.fail)
    publish_step(context, DAY)
    manifest = read_manifest(context.store, DAY)
    assert read_examination(context.store, DAY, manifest.digest).suite == "handmade.published"
    file = context.store.local_path(partition_prefix(DAY) + manifest.files[0].name)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(LakeError, match="rows are gone"):
        publish_step(context, DAY)
