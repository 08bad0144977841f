"""A day that is late is looked for when its ingest misses its deadline, an hour before the morning's `monitoring`."""

import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback

from mmoe_airflow.alert import send
from mmoe_airflow.calendar import log_end
from mmoe_airflow.step import DONE, last_object

HOURS = 5
"""From when a run is queued, 02:00 UTC by the calendar."""


class LateError(Exception):
    """Ingest has missed its deadline, and something is to be told."""


def look(context: dict[str, Any]) -> None:
    """Runs `mmoe watch`, as `monitoring` does, on the deadline's date, and tells a person each alarm.

    An executor's callback: it fails when there is an alarm, so that its state and log say so. A backfill's days
    are late on purpose.
    """
    run = context["dag_run"]
    if run["run_type"] == "backfill":
        return
    as_of = datetime.fromisoformat(context["deadline"]["deadline_time"]).date()
    command = [sys.executable, "-m", "mmoe", "watch", "--as-of", str(as_of)]
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if found.returncode != DONE:
        reason = last_object(found.stdout.splitlines()).get("error") or f"`mmoe watch` ended with {found.returncode}"
        text = f"{run['dag_id']} has not finished in {HOURS} hours in run {run['dag_run_id']}: {reason}"
        send(text)
        raise LateError(text)


def in_time() -> DeadlineAlert | None:
    """Counted from when a run is queued: a run of a partition has no logical date. A finished log is never late."""
    if log_end():
        return None
    return DeadlineAlert(
        name="published in time", reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(hours=HOURS),
        callback=SyncCallback(look),
    )  # fmt: skip
