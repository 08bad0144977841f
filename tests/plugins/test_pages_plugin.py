"""The plugin's pages behind Airflow's login, inside Airflow's own application."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mmoe.registry.records import PromotionRecord, Records
from mmoe.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
STATUS = {
    "/mmoe/promotions": 200, "/mmoe/monitoring": 200, "/mmoe/compare?a=1&b=2": 200, "/mmoe/data": 200,
    "/mmoe/data/2026-09-01": 404, "/mmoe/retention": 200,
    "/mmoe/reports/r1": 200, "/mmoe/reports/r1/report.json": 200,
    "/mmoe/runs/batch_training/run-1": 200, "/mmoe/": 307, "/mmoe/reports/absent": 404, "/mmoe/docs": 404,
    "/mmoe/openapi.json": 404, "/mmoe/no/such/page": 404,
}  # fmt: skip


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    report = home / "reports" / "r1"
    report.mkdir(parents=True)
    (report / "report.html").write_text("<title>r1</title>")
    (report / "report.json").write_text("{}")
    settings = Settings(home=home)
    first = PromotionRecord(
        number=1, kind="bootstrap", state="done", version="1", digest="a" * 64, replaces=None, previous_before=None,
        previous_after=None, actor="ada", reason="first", report=None, at=datetime(2026, 3, 1, tzinfo=UTC),
    )  # fmt: skip
    Records(settings).write(first)
    changes = {"number": 2, "kind": "promotion", "version": "2", "replaces": "1"}
    Records(settings).write(first.model_copy(update=changes))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MMOE_"))}
    environment |= {
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of this test alone, and long enough for SHA512 to be content" * 2,
        "MMOE_HOME": str(home),
    }
    command = [sys.executable, str(Path(__file__).parent / "ask_pages.py"), *STATUS]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.splitlines()[-1])


def test_the_plugin_loads_without_errors_and_nothing_heavy(asked):
    assert asked["errors"] == {}
    assert asked["heavy"] == []


def test_every_address_wants_a_login(asked):
    assert {path: answers[0] for path, answers in asked["answers"].items()} == dict.fromkeys(STATUS, 401)


def test_a_viewer_sees_the_pages_by_token_and_by_cookie(asked):
    assert {path: answers[1] for path, answers in asked["answers"].items()} == STATUS
    assert {path: answers[2] for path, answers in asked["answers"].items()} == STATUS


def test_a_forged_token_is_refused(asked):
    assert {path: answers[3] for path, answers in asked["answers"].items()} == dict.fromkeys(STATUS, 403)


def test_the_rollback_button_is_for_whoever_may_trigger_the_dag(asked):
    button = asked["button"]
    assert button["refused"] == {
        "None": [401, 401], "viewer": [403, 403], "op from elsewhere": [403], "user with op's token": [403],
    }  # fmt: skip
    assert button["offered"] == {"viewer": False, "op": True}


def test_pressing_it_twice_starts_one_run_that_knows_who_and_why(asked):
    run_id = "rollback__3__2_to_1"
    assert asked["button"]["runs"] == [
        [run_id, "the-op", {"version": "1", "expected_champion": "2", "reason": "worse"}]
    ]
    assert asked["button"]["answers"] == [[303, f"rollback/3/1/dags%2Frollback%2Fruns%2F{run_id}"]] * 2


def test_the_navigation_and_each_run_lead_to_pages_that_exist(asked):
    found = {view["name"]: (view["destination"], view["href"]) for view in asked["views"]}
    assert found == {
        "Model promotions": ("nav", "mmoe/promotions"),
        "Data": ("nav", "mmoe/data"),
        "Report": ("dag_run", "mmoe/runs/{DAG_ID}/{RUN_ID}"),
    }
