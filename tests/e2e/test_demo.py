"""The main job under a real Airflow, with a SIGKILL in the middle; what it says is checked against what is there."""

import json
import re
from datetime import date
from pathlib import Path

import pytest

from mmoe.demo.source import FIRST_DAY, SIMULATED_DAYS
from mmoe.lake.audit import audit
from mmoe.lake.ledger import expired_days
from mmoe.lake.reader import open_partition, published_days
from mmoe.lake.registered import registered_stores
from mmoe.lake.store import open_store
from mmoe.registry import Registry, VersionRecords
from mmoe.registry.monitored import Monitored
from mmoe.schema import load_schema
from mmoe.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def settings(demo):
    fields = {name.removeprefix("MMOE_").lower(): value for name, value in demo.settings().items()}
    return Settings.model_validate({**fields, "home": demo.home})


@pytest.fixture(scope="module")
def store(settings):
    return open_store(settings.lake_url, settings.cache_path)


def test_the_killed_demo_went_on_where_it_stopped(demo):
    said = demo.log.read_text()
    assert "going on where it stopped" in said
    assert said.count("Engagement log") == 2


def test_nothing_is_left_running(demo):
    assert demo.left_running == []


def test_every_run_ended_as_it_should(demo):
    runs = demo.summary["dag_runs"]
    assert {run["dag_id"] for run in runs} == {
        "engagement_ingest", "retention", "bootstrap", "batch_training", "incremental_training",
    }  # fmt: skip
    assert [run for run in runs if run["state"] != run["expected"]] == []
    failed = {run["partition_key"]: run["why"] for run in runs if run["state"] == "failed"}
    assert sorted(failed.values()) == ["no landing file had arrived", "the day is in quarantine"]


def test_the_late_day_arrived_and_the_broken_day_is_in_quarantine(demo):
    late, broken = str(FIRST_DAY.replace(day=17)), str(FIRST_DAY.replace(day=14))
    summary = demo.summary
    assert late in summary["kept_partitions"]
    assert [each["day"] for each in summary["quarantined"]] == [broken]
    assert broken not in summary["kept_partitions"]


def test_each_day_is_kept_expired_or_quarantined_and_none_is_lost(demo, store):
    summary = demo.summary
    days = [*summary["kept_partitions"], *summary["expired_partitions"], *(q["day"] for q in summary["quarantined"])]
    assert sorted(days) == [str(FIRST_DAY.replace(day=1 + n)) for n in range(SIMULATED_DAYS)]
    assert [str(day) for day in published_days(store)] == summary["kept_partitions"]
    assert [str(day) for day in expired_days(store)] == summary["expired_partitions"]


def test_no_row_is_lost_or_counted_twice(demo, store):
    for day in published_days(store):
        partition = open_partition(store, day, load_schema("ads"))
        assert partition.rows == 15_000, day


def test_nothing_behind_the_horizon_is_readable(demo, settings, store):
    stores = registered_stores(settings, load_schema("ads"), store)
    report = audit(stores, date.fromisoformat(demo.summary["kept_partitions"][-1]))
    assert report.findings == []
    assert report.ledger_entries >= 1
    expired = demo.summary["expired_partitions"]
    left = [path for path in demo.home.rglob("*") if any(f"dt={day}" in path.parts for day in expired)]
    assert left == []


def test_the_champion_learned_from_data_that_no_longer_exists(demo, settings):
    registry = Registry(settings)
    baseline = registry.version(demo.summary["baseline_version"])
    assert str(baseline.trained_through) in demo.summary["expired_partitions"]


def test_the_promoted_model_is_mlflows_champion_with_its_lineage(demo, settings):
    summary, registry = demo.summary, Registry(settings)
    champion = registry.alias("champion")
    assert (champion.version, champion.run_id) == (summary["champion"]["version"], summary["champion"]["run_id"])
    assert summary["verdict"] == "pass"
    assert champion.version != summary["baseline_version"]
    actors = {record.version: record.actor for record in registry.history()}
    batch = next(version for version in registry.versions() if version.stage == "batch")
    assert actors[batch.version] == "demo-approver"
    assert batch.teacher == registry.version(summary["baseline_version"]).digest


def test_the_champion_was_tested_on_each_fresh_day_before_it_learned_it(demo, settings):
    days = Monitored(settings).read()
    updates = [version for version in VersionRecords(settings).read() if version.stage == "incremental"]
    assert [day.day for day in days][-1] == updates[-1].trained_through
    assert all(day.learned_through < day.day for day in days)
    assert {day.version for day in days} == {update.parent for update in updates}
    assert all(0.4 < day.of("click").auc < 1 for day in days)


def test_no_pickle_is_stored_anywhere(demo):
    suspicious = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".bin"}
    assert [path for path in demo.home.rglob("*") if path.suffix in suspicious] == []


def test_no_row_and_no_secret_reaches_logs_databases_records_or_reports(demo, settings, store):
    import pyarrow.parquet as parquet

    partition = open_partition(store, published_days(store)[0], load_schema("ads"))
    broken = settings.landing_path / f"dt={FIRST_DAY.replace(day=14)}" / "part-0.parquet"
    rows = [parquet.read_table(path, columns=["event_id"])["event_id"] for path in (partition.files[0], broken)]
    ids = [name for each in rows for name in each.drop_null().to_pylist()[:50]]
    secrets = list(json.loads((demo.home / "airflow" / "passwords.json").read_text()).values())
    planted = ["unknown_surface"]  # a view type that only the broken day's rows have
    places = (
        "airflow/logs/**/*.log",
        "logs/*.log",
        "airflow/airflow.db",
        "mlflow/*.db",
        "lake/**/*.json*",
        "reports/**/*",
    )
    files = [path for place in places for path in demo.home.glob(place) if path.is_file()]
    assert {path.suffix for path in files} >= {".log", ".db", ".json", ".html"}
    for path in files:
        content = path.read_bytes()
        assert not any(needle.encode() in content for needle in (*ids, *secrets, *planted)), path


def test_the_report_is_one_self_contained_page(demo):
    html = Path(demo.summary["report_path"]).read_text()
    links = re.findall(r"href=[\"']?([^\"'>\s]*)", html)
    assert links
    assert [link for link in links if not link.startswith("#")] == []
    assert "src=" not in html
    assert "url(" not in html
    assert "pass" in html


def test_mixed_precision_was_measured(demo):
    measured = demo.summary["mixed_precision"]
    assert 0 < measured["latency_ratio"] < 5
    assert abs(measured["auc_delta"]) < 1e-3


def test_days_follow_the_documented_timeline(demo):
    assert date.fromisoformat(demo.summary["kept_partitions"][-1]) == FIRST_DAY.replace(day=SIMULATED_DAYS)
