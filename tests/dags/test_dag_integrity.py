import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CHAINS = {
    "engagement_ingest": ["ingest", "validate", "publish", "mature", "offer_training"],
    "retention": ["plan", "apply", "audit"],
    "bootstrap": ["plan", "train", "install"],
    "batch_training": [
        "mature", "plan", "score_teacher", "train", "catch_up", "evaluate", "gate", "report", "approval", "promote",
    ],
    "incremental_training": ["plan", "monitor", "train", "evaluate", "gate", "report", "promote"],
    "monitoring": ["watch"],
    "rollback": ["rollback"],
}  # fmt: skip


@pytest.fixture(scope="module")
def inspected(tmp_path_factory):
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    script = Path(__file__).parent / "inspect_dags.py"
    command = [sys.executable, str(script), str(ROOT / "dags")]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.splitlines()[-1])


def test_every_dag_file_imports(inspected):
    assert inspected["errors"] == {}
    assert set(inspected["dags"]) == set(CHAINS)


def test_parsing_loads_nothing_heavy(inspected):
    assert inspected["heavy"] == []


@pytest.mark.parametrize("dag_id", CHAINS)
def test_tasks_form_exactly_the_documented_chain(inspected, dag_id):
    chain = CHAINS[dag_id]
    expected = {task: [after] for task, after in pairwise(chain)} | {chain[-1]: []}
    assert inspected["dags"][dag_id]["tasks"] == expected


@pytest.mark.parametrize("dag_id", CHAINS)
def test_every_dag_is_documented_tagged_and_bounded(inspected, dag_id):
    dag = inspected["dags"][dag_id]
    assert dag["doc"]
    assert dag["tags"]
    assert not dag["catchup"]
    assert dag["max_active_runs"] <= 4
    assert dag["lines"] <= 105


@pytest.mark.parametrize("dag_id", CHAINS)
def test_every_step_retries_and_times_out_but_no_approval_is_asked_twice(inspected, dag_id):
    dag = inspected["dags"][dag_id]
    for task, retries in dag["retries"].items():
        assert retries == (0 if task == "approval" else 2), task
        assert dag["timeouts"][task] == (task != "approval"), task


def test_a_rollback_goes_first_and_waits_half_an_hour_at_most_for_the_change_before_it(inspected):
    changes = {"batch_training": "promote", "incremental_training": "promote", "bootstrap": "install"}
    for dag_id, task in changes.items():
        dag = inspected["dags"][dag_id]
        assert [name for name, pool in dag["pools"].items() if pool == "promotion"] == [task], dag_id
        assert dag["minutes"][task] <= 30
        assert dag["weights"][task] < inspected["dags"]["rollback"]["weights"]["rollback"]


def test_a_day_that_is_not_published_before_monitoring_looks_has_missed_a_deadline(inspected):
    """Counted from when the run is queued, 02:00 UTC: a partition's run has no logical date to count from."""
    found = {dag_id: dag["deadlines"] for dag_id, dag in inspected["dags"].items() if dag["deadlines"]}
    assert found == {"engagement_ingest": [["DagRunQueuedAtDeadline", 5.0, "mmoe_airflow.late.look"]]}


def test_training_and_promotion_have_pools(inspected):
    batch = inspected["dags"]["batch_training"]["pools"]
    assert {batch[task] for task in ("score_teacher", "train", "catch_up", "evaluate")} == {"training"}
    assert batch["promote"] == "promotion"
    assert inspected["dags"]["incremental_training"]["pools"]["train"] == "training"
    assert inspected["dags"]["bootstrap"]["pools"]["install"] == "promotion"
    assert inspected["dags"]["rollback"]["pools"]["rollback"] == "promotion"


def test_a_person_can_choose_window_experts_distillation_and_date(inspected):
    params = set(inspected["dags"]["batch_training"]["params"])
    assert {"as_of", "train_days", "catch_up_days", "holdout_days", "experts", "distillation", "profile"} <= params


def test_incremental_training_offers_no_distillation(inspected):
    assert "distillation" not in inspected["dags"]["incremental_training"]["params"]
