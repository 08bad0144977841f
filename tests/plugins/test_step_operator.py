import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_in_airflow(tmp_path, body):
    """Run `body` in a process that has Airflow's operators and a home of its own; returns its last line as JSON."""
    program = "import json, sys\nfrom mmoe_airflow.step import *\nfrom mmoe_airflow.promote import Promote\n"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}",
    }
    finished = subprocess.run(
        [sys.executable, "-c", program + textwrap.dedent(body)],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.splitlines()[-1])


def test_options_that_render_empty_are_left_out_and_true_is_a_flag(tmp_path):
    body = """
        print(json.dumps(given({"a": "1", "b": "", "c": "None", "d": "True", "e": "False"})))
    """
    assert run_in_airflow(tmp_path, body) == ["--a", "1", "--d"]


def test_the_last_json_line_is_the_result(tmp_path):
    body = """
        print(json.dumps(last_object(["noise", '{"a": 1}', '{"plan": "x"}', "{broken", "more noise"])))
    """
    assert run_in_airflow(tmp_path, body) == {"plan": "x"}


def test_a_refusal_is_final_and_a_crash_is_retried(tmp_path):
    body = """
        refusal = failure(["ingest"], 1, {"error": "no files"})
        crash = failure(["train"], -9, {})
        print(json.dumps([type(refusal).__name__, str(refusal), type(crash).__name__]))
    """
    assert run_in_airflow(tmp_path, body) == ["AirflowFailException", "no files", "AirflowException"]


def test_a_refusal_is_found_however_much_torchrun_says_after_it(tmp_path):
    body = """
        says = "import sys; print('{\\"error\\": \\"no rows\\"}'); print('Traceback\\\\n' * 500); sys.exit(1)"
        code, lines = Step(task_id="train", command=["train"])._run([sys.executable, "-c", says])
        print(json.dumps([code, last_object(lines)]))
    """
    assert run_in_airflow(tmp_path, body) == [1, {"error": "no rows"}]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"chosen_options": ["Reject"], "responded_by_user": {"id": "1", "name": "ann"}},
        {"chosen_options": ["Approve"], "responded_by_user": None},
    ],
)
def test_promotion_refuses_without_a_persons_approval(tmp_path, answer):
    body = f"""
        class TI:
            def xcom_pull(self, task_ids): return {answer!r}
        task = Promote(task_id="promote", command=["promote-plan"], approval_task="approval")
        try:
            task.execute({{"ti": TI()}})
        except AirflowFailException as error:
            print(json.dumps(str(error)))
    """
    assert "no approval by a person" in run_in_airflow(tmp_path, body)


def test_a_real_step_that_is_refused_fails_its_task_with_the_reason(tmp_path):
    body = """
        try:
            Step(task_id="publish", command=["publish"], options={"date": "2026-09-01"}).execute({})
        except AirflowFailException as error:
            print(json.dumps(str(error)))
    """
    assert "nothing is staged" in run_in_airflow(tmp_path, body)


def test_a_skipped_step_leaves_its_reason_where_the_ui_shows_it(tmp_path):
    body = """
        class TI:
            pushed = {}
            def xcom_push(self, key, value): self.pushed[key] = value
        step = Step(task_id="offer_training", command=["offer-training"])
        step._run = lambda command: (DONE, ['{"skip": true, "reason": "it was backfilled"}'])
        try:
            step.execute({"ti": TI()})
        except AirflowSkipException as skipped:
            print(json.dumps([str(skipped), TI.pushed["return_value"]["reason"]]))
    """
    assert run_in_airflow(tmp_path, body) == ["it was backfilled", "it was backfilled"]


def test_a_task_on_a_day_leads_to_the_days_page_and_others_nowhere(tmp_path):
    body = """
        from mmoe_airflow.links import DataQuality
        steps = [
            Step(task_id="validate", command=["validate"], options={"date": "2026-09-01"}),
            Step(task_id="unrendered", command=["validate"], options={"date": "{{ partition_key }}"}),
            Step(task_id="train", command=["train", "batch"], options={"plan": "p"}),
        ]
        print(json.dumps([DataQuality().get_link(step, ti_key=None) for step in steps]))
    """
    assert run_in_airflow(tmp_path, body) == ["/mmoe/data/2026-09-01", "", ""]
