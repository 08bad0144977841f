"""Every morning: is the champion fresh, calibrated, and tested on every day?"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from mmoe_airflow.alert import alert
from mmoe_airflow.assets import RETRYING
from mmoe_airflow.calendar import on_calendar
from mmoe_airflow.step import Step

DOC = """
### Alarms about the champion and its data

`incremental_training` tests the champion on each fresh day before it learns it; the *Monitoring* page shows AUC,
calibration and drift by day. `watch` turns red, and calls `MMOE_ALERT_URL` where that is set, for

- a **stale champion**: it has learned nothing for `monitor.max_age_days`;
- a **missed day**: not published, or published and not learned;
- **calibration** off by more than `monitor.max_calibration_error`;
- **predictions that have shifted** by more than `monitor.max_score_shift` against the day before.
"""

with DAG(
    dag_id="monitoring",
    dag_display_name="Monitoring",
    description="Raises an alarm for a stale champion, a missed day, calibration that is off, shifted predictions",
    doc_md=DOC,
    schedule=on_calendar("0 8 * * *"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["models", "governance"],
    params={
        "as_of": Param(None, type=["null", "string"], format="date", title="As-of date",
                       description="The days before it are looked at. Empty: the run's own day."),
    },
    default_args={**RETRYING, "execution_timeout": timedelta(hours=1)},
):  # fmt: skip
    watch = Step(
        task_id="watch", command=["watch"], options={"as-of": "{{ params.as_of or partition_key }}"},
        on_failure_callback=alert, doc_md="Red: the log's last line names each alarm.",
    )  # fmt: skip
