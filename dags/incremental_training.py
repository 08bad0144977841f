"""Each fresh day: the champion learns it, without distillation."""

from datetime import timedelta

from airflow.sdk import DAG, Param, PartitionedAssetTimetable

from mmoe_airflow.assets import FRESH_PARTITION, PROMOTING, RETRYING, TRAINING_POOL, TRAINING_QUEUE
from mmoe_airflow.step import Step

DOC = """
### The champion learns a fresh day, without distillation

Fires when `engagement_ingest` announces a fresh day (a backfilled day is not announced). `plan` skips the run when
there is no champion or it has already learned the day. `monitor` tests the champion on what it has not learned yet
(*Monitoring* page: AUC, calibration and drift by day). `train` starts from the champion's trainable state (weights,
optimizer, position) and goes through every published day since, in order. A share of the newest day's groups is left
out of training; on it `evaluate` and `gate` compare old and new (*refresh* profile: not worse). `promote` moves the
champion alias only on a pass and only if the champion is still the one that training started from.
"""

with DAG(
    dag_id="incremental_training",
    dag_display_name="Incremental training",
    description="Champion + fresh days → refreshed champion, no distillation, refresh gate",
    doc_md=DOC,
    schedule=PartitionedAssetTimetable(assets=FRESH_PARTITION),
    catchup=False,
    max_active_runs=1,
    tags=["models"],
    params={
        "day": Param(None, type=["null", "string"], format="date", title="Train through this day",
                     description="Empty: the announced day."),
    },
    default_args={**RETRYING, "execution_timeout": timedelta(hours=6)},
):  # fmt: skip
    plan = Step(
        task_id="plan", command=["plan", "incremental"], options={"day": "{{ params.day or partition_key }}"},
        doc_md="Fixes champion, days and digests of this run; skips if there is nothing to learn.",
    )  # fmt: skip
    chosen = {"plan": "{{ ti.xcom_pull(task_ids='plan')['plan'] }}"}
    monitor = Step(
        task_id="monitor", command=["monitor"], options=chosen, pool=TRAINING_POOL, queue=TRAINING_QUEUE,
        doc_md="The champion's predictions on the fresh days, scored before it learns them.",
    )  # fmt: skip
    train = Step(
        task_id="train", command=["train", "incremental"], options=chosen, pool=TRAINING_POOL, queue=TRAINING_QUEUE,
        doc_md="Warm start, new days in order.",
    )  # fmt: skip
    evaluate = Step(
        task_id="evaluate", command=["evaluate"], options=chosen, pool=TRAINING_POOL, queue=TRAINING_QUEUE,
        doc_md="Score sets of both models on the groups left out.",
    )  # fmt: skip
    gate = Step(task_id="gate", command=["gate-plan"], options=chosen, doc_md="Refresh profile: not worse.")
    report = Step(
        task_id="report", command=["report"], options={**chosen, "source-run": "{{ run_id }}"},
        doc_md="What changed, for the record.",
    )  # fmt: skip
    promote = Step(
        task_id="promote", command=["promote-plan"],
        options={**chosen, "actor": "incremental_training", "as-of": "{{ params.day or partition_key }}"},
        **PROMOTING, doc_md="Moves the champion alias on a pass.",
    )  # fmt: skip
    plan >> monitor >> train >> evaluate >> gate >> report >> promote
