"""The retraining loop, chapter by chapter, as its user would run it: through Airflow's REST API.

Every chapter can be interrupted and entered again: run ids are fixed, a finished run is left alone, an unfinished one
is waited for, a failed one that should have succeeded is cleared.
"""

from collections.abc import Callable
from datetime import date
from typing import Any

from mmoe.demo.airflow_api import FINAL_STATES, Airflow, AirflowError, age, wait_until
from mmoe.demo.narrator import Narrator
from mmoe.demo.timeline import Timeline

DAGS = {
    "engagement_ingest", "retention", "bootstrap", "batch_training", "incremental_training", "monitoring", "rollback",
}  # fmt: skip
POOLS = {"training": "One training at a time on this machine", "promotion": "One promotion at a time, anywhere"}
LONGEST_RUN = 3600.0
SETTLING_SECONDS = 3.0


class Loop:
    """`admin` triggers runs, `approver` answers the approval; both are users of the embedded Airflow."""

    def __init__(
        self, *, admin: Airflow, approver: Airflow, timeline: Timeline, narrator: Narrator, check: Callable[[], None]
    ) -> None:
        self.admin = admin
        self.approver = approver
        self.timeline = timeline
        self.narrator = narrator
        self.check = check

    def prepare(self) -> None:
        self.admin.wait_for_dags(DAGS)
        for name, description in POOLS.items():
            self.admin.ensure_pool(name, 1, description)
        for dag_id in sorted(DAGS):
            self.admin.set_paused(dag_id, False)

    def backfill(self, first: date, last: date, *, reprocess: str) -> None:
        """Ingest first…last by an Airflow backfill, and wait for its end."""
        running = [fill for fill in self.admin.backfills("engagement_ingest") if fill["completed_at"] is None]
        number = int(running[0]["id"]) if running else self.admin.backfill(
            "engagement_ingest", first, last, reprocess=reprocess, active_runs=3
        )  # fmt: skip
        wanted = (last - first).days + 1

        def finished() -> bool:
            self.check()
            states = self.ingest_states()
            ended = sum(first <= day <= last and state in FINAL_STATES for day, state in states.items())
            self.narrator.progress(f"{ended} of {wanted} days")
            return any(
                fill["id"] == number and fill["completed_at"] for fill in self.admin.backfills("engagement_ingest")
            )

        wait_until(finished, what="backfill of engagement_ingest", seconds=LONGEST_RUN, poll=2)

    def ingest_states(self) -> dict[date, str]:
        """The state of each day's newest ingest run."""
        runs = sorted(self.admin.runs("engagement_ingest"), key=lambda run: str(run["queued_at"]))
        return {date.fromisoformat(run["partition_key"]): run["state"] for run in runs if run["partition_key"]}

    def run(self, dag_id: str, run_id: str, conf: dict[str, Any], partition_key: str | None = None) -> None:
        """Trigger a run, or take up the one an interrupted demo left, and wait until it has succeeded."""
        self.start(dag_id, run_id, conf, partition_key)
        self.wait(dag_id, run_id)

    def start(self, dag_id: str, run_id: str, conf: dict[str, Any], partition_key: str | None = None) -> None:
        found = self.admin.run(dag_id, run_id)
        if found is None:
            self.admin.trigger(dag_id, run_id, conf=conf, partition_key=partition_key)
        elif found["state"] == "failed":
            self.admin.clear(dag_id, run_id)

    def wait(self, dag_id: str, run_id: str, *, until: Callable[[], bool] = lambda: False) -> None:
        """Until the run has succeeded (or `until` holds), naming the task at work. AirflowError if it fails."""

        def ended() -> bool:
            self.check()
            tasks = self.admin.tasks(dag_id, run_id)
            active = sorted(task["task_id"] for task in tasks if task["state"] in ("running", "up_for_retry"))
            if active:
                self.narrator.progress(f"{dag_id}: {', '.join(active)}")
            return until() or self.state(dag_id, run_id) in FINAL_STATES

        wait_until(ended, what=f"{dag_id} run {run_id}", seconds=LONGEST_RUN)
        if self.state(dag_id, run_id) == "failed":
            failed = [task["task_id"] for task in self.admin.tasks(dag_id, run_id) if task["state"] == "failed"]
            raise AirflowError(f"{dag_id} run {run_id} failed at {', '.join(failed)}; its log is under airflow/logs")

    def state(self, dag_id: str, run_id: str) -> str:
        found = self.admin.run(dag_id, run_id)
        return "" if found is None else str(found["state"])

    def batch_training(self, run_id: str) -> str:
        """Run it, answer its approval (approve a pass, reject anything else), and return the option chosen."""
        self.start("batch_training", run_id, {"as_of": str(self.timeline.as_of)})
        self.wait("batch_training", run_id, until=lambda: self._asks(run_id))
        verdict = str((self.admin.xcom("batch_training", run_id, "report") or {}).get("verdict"))
        option = "Approve" if verdict == "pass" else "Reject"
        if self._asks(run_id):
            self.narrator.say(f"   verdict: {verdict}; user {self.approver.user!r} answers {option}")
            self.approver.answer(
                "batch_training", run_id, "approval", option=option, params={"override_reason": ""}
            )  # fmt: skip
        self.wait("batch_training", run_id)
        return option

    def _asks(self, run_id: str) -> bool:
        """True once the approval waits, and has waited long enough for the scheduler to have parked its task: an
        answer within the same second makes Airflow 3.3 fail the task as changed from outside."""
        waiting = self.admin.waiting_approvals("batch_training", run_id)
        return any(
            detail["task_instance"]["state"] == "awaiting_input" and age(detail["created_at"]) > SETTLING_SECONDS
            for detail in waiting
        )

    def wait_for_incremental(self, day: date) -> str:
        """The id of the run that the fresh day's asset event started, once it has succeeded."""

        def runs() -> list[dict[str, Any]]:
            return [run for run in self.admin.runs("incremental_training") if run["partition_key"] == str(day)]

        wait_until(lambda: bool(runs()), what=f"incremental_training for {day}", seconds=300)
        run_id = str(runs()[0]["dag_run_id"])
        if self.state("incremental_training", run_id) == "failed":
            self.admin.clear("incremental_training", run_id)
        self.wait("incremental_training", run_id)
        return run_id
