"""Landing zone to lake, one day at a time."""

from datetime import timedelta

from airflow.sdk import DAG

from mmoe_airflow.assets import FRESH_PARTITION, PARTITION, RETRYING
from mmoe_airflow.calendar import by_partition, log_end
from mmoe_airflow.late import in_time
from mmoe_airflow.step import Step

DOC = """
### Engagement logs become a validated daily partition

- `ingest` reads the day's landing files, coerces them strictly by schema, drops and counts repeats.
  Red: no file has arrived yet, or the day is behind the retention horizon.
- `validate` runs the day's expectations (Great Expectations).
  Red: **the day is in quarantine**; the task's error names each failed expectation, its *Data quality* link shows all.
- `publish` swaps the partition and its manifest into the lake as one, and passes late rows on to their own days.
- `mature` publishes earlier days anew where rows have come late or labels have become final.
  Red: one of *those* days did not pass; its earlier publication stays, and this day is published.
- `offer_training` announces the day to `incremental_training`; skipped in a backfill.

A run that has not succeeded five hours after it was queued has **missed its deadline**: `mmoe watch` looks what is
missing, the *Monitoring* page shows it, and `MMOE_ALERT_URL` is told. Not in a backfill.

**Backfill** a range from *Trigger → Backfill* on this DAG; choose *missing and errored runs* to fill gaps after late or
corrected files. A backfill never trains or promotes a model and never brings back an expired day.
To use a backfilled day for training, trigger `incremental_training` or `batch_training` yourself.
"""

with DAG(
    dag_id="engagement_ingest",
    dag_display_name="Engagement ingest",
    description="Landing zone to lake, one day at a time: coerce, validate, publish or quarantine",
    doc_md=DOC,
    schedule=by_partition("0 2 * * *", run_offset=-1),
    end_date=log_end(),
    catchup=False,
    max_active_runs=4,
    deadline=in_time(),
    tags=["data"],
    default_args={**RETRYING, "execution_timeout": timedelta(hours=2)},
):
    day = {"date": "{{ partition_key }}"}
    as_of = {"as-of": "{{ dag_run.start_date | ds }}"}
    ingest = Step(
        task_id="ingest", command=["ingest"], options={**day, **as_of},
        doc_md="Landing files → staged partition; labels are final, or not, on the day that this run began.",
    )  # fmt: skip
    validate = Step(task_id="validate", command=["validate"], options=day, doc_md="Expectations; quarantine if broken.")
    publish = Step(task_id="publish", command=["publish"], options=day, outlets=[PARTITION], doc_md="Staged → lake.")
    mature = Step(
        task_id="mature", command=["mature"], options={"as-of": "{{ macros.ds_add(partition_key, 1) }}"},
        doc_md="Earlier days anew: their late rows, their labels that are final now.",
    )  # fmt: skip
    offer_training = Step(
        task_id="offer_training", command=["offer-training"], options={**day, "source-run": "{{ run_id }}"},
        outlets=[FRESH_PARTITION], doc_md="Announces the day to incremental training, unless this is a backfill.",
    )  # fmt: skip
    ingest >> validate >> publish >> mature >> offer_training
