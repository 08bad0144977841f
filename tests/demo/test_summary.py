import os
from datetime import date

import pytest

from mmoe.demo.airflow_api import AirflowError
from mmoe.demo.summary import expected, lifts, refuse_unexpected, seconds_between
from mmoe.lake.manifest import Validation
from mmoe.lake.quarantine import QuarantineRecord
from mmoe.lake.store import open_store
from mmoe.settings import Settings

DAY = date(2026, 9, 14)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def ingest_run(state, ended="2026-11-24T05:00:00Z"):
    return {
        "dag_id": "engagement_ingest", "dag_run_id": "r", "partition_key": str(DAY), "state": state,
        "start_date": "2026-11-24T04:59:00Z", "end_date": ended,
    }  # fmt: skip


def test_a_day_in_quarantine_should_have_failed(settings):
    from mmoe.lake.manifest import to_json

    store = open_store(settings.lake_url, settings.cache_path)
    record = QuarantineRecord(
        day=DAY, reason="broken", sources=(), counts={}, rows=1, problems=(),
        validation=Validation(status="failed", subject="s", checks=1),
    )  # fmt: skip
    store.write_bytes(f"quarantine/dt={DAY}/a.json", to_json(record))
    assert expected(ingest_run("success"), store, settings)[0] == "failed"


def test_a_run_that_ended_before_its_files_came_should_have_failed(settings):
    store = open_store(settings.lake_url, settings.cache_path)
    assert expected(ingest_run("failed"), store, settings) == ("failed", "no landing file had arrived")
    folder = settings.landing_path / f"dt={DAY}"
    folder.mkdir(parents=True)
    assert expected(ingest_run("failed"), store, settings)[0] == "failed"
    os.utime(folder, (0, 0))
    assert expected(ingest_run("failed"), store, settings)[0] == "success"


def test_every_other_run_should_have_succeeded(settings):
    run = {**ingest_run("failed"), "dag_id": "retention"}
    assert expected(run, open_store(settings.lake_url, settings.cache_path), settings) == ("success", "")


def test_a_run_that_ended_otherwise_is_named():
    runs = [{"dag_id": "retention", "run_id": "demo__retention", "state": "failed", "expected": "success"}]
    with pytest.raises(AirflowError, match="demo__retention is failed, not success"):
        refuse_unexpected(runs)
    refuse_unexpected([runs[0] | {"state": "success"}])


def test_lifts_are_told_overall_by_head_and_by_slice():
    numbers = {"lift": 0.1, "low": 0.05, "high": 0.2, "rows": 10, "champion_auc": 0.7, "challenger_auc": 0.77}
    slices = [(None, None), ("click", None), ("click", "search"), ("hide", None)]
    found = lifts(
        {
            "lifts": [
                {"head": head, "slice_by": view and "view_type", "slice": view, "positives": 3, **numbers}
                for head, view in slices
            ]
        }
    )
    assert found == {
        "overall": numbers,
        "heads": {"click": numbers, "hide": numbers},
        "slices": {"click": {"search": numbers}, "hide": {}},
    }


def test_seconds_between_two_moments():
    assert seconds_between("2026-11-24T04:59:00Z", "2026-11-24T05:00:01.5Z") == 61.5
    assert seconds_between("2026-11-24T04:59:00Z", None) is None
