"""What a missed deadline of ingest does, in a process that has Airflow's modules; `mmoe watch` is the real one."""

import pytest
from test_alert import receiver  # noqa: F401
from test_step_operator import run_in_airflow

LOOK = """
    import os
    from mmoe_airflow.late import LateError, look
    os.environ.update({environment!r})
    run = {{"dag_id": "engagement_ingest", "dag_run_id": "r1", "run_type": {run_type!r}, "partition_key": "2026-11-28"}}
    deadline = {{"id": "d", "deadline_time": "2026-11-29T07:00:03.668511Z"}}
    try:
        print(json.dumps(look(context={{"dag_run": run, "deadline": deadline}})))
    except LateError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture
def environment(tmp_path, receiver):  # noqa: F811
    return {"MMOE_HOME": str(tmp_path / "home"), "MMOE_ALERT_URL": receiver[0]}


def test_a_missed_deadline_raises_what_monitoring_would_for_the_page_and_for_a_person(tmp_path, environment, receiver):  # noqa: F811
    found = run_in_airflow(tmp_path, LOOK.format(environment=environment, run_type="scheduled"))
    assert found.startswith("engagement_ingest has not finished in 5 hours in run r1: as_of=2026-11-29: no version")
    assert receiver[1] == [{"text": found}]
    assert list((tmp_path / "home").rglob("watch.json"))


def test_a_backfill_is_late_on_purpose(tmp_path, environment, receiver):  # noqa: F811
    assert run_in_airflow(tmp_path, LOOK.format(environment=environment, run_type="backfill")) is None
    assert receiver[1] == []


def test_a_finished_log_has_no_deadline(tmp_path):
    body = """
        import os
        from mmoe_airflow.late import in_time
        there = in_time() is not None
        os.environ["MMOE_LOG_ENDS"] = "2026-10-05"
        print(json.dumps([there, in_time()]))
    """
    assert run_in_airflow(tmp_path, body) == [True, None]
