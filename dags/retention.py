"""Expire what may no longer be kept, everywhere a copy lives, and prove it."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from mmoe_airflow.assets import RETRYING
from mmoe_airflow.calendar import on_calendar
from mmoe_airflow.step import Step

DOC = """
### Expire old partitions everywhere a copy lives, and prove it

`plan` lists what lies behind the horizons in every registered store, which legal holds block it and which models have
learned it, and deletes nothing. `apply` writes a tombstone, deletes, lists every store again and closes the
hash-chained ledger entry. `audit` walks the stores on its own and fails if anything behind a horizon is readable or the
chain is broken; *Data → Retention* shows its result.

A run that would delete more than `retention.max_share` of the partitions or rows stops at `apply`. If that is really
meant, trigger this DAG with **confirm** set. With **dry run**, only `plan` runs.
"""

with DAG(
    dag_id="retention",
    dag_display_name="Retention",
    description="Expires old partitions and everything derived from them; audits the result",
    doc_md=DOC,
    schedule=on_calendar("30 1 * * *"),
    catchup=False,
    max_active_runs=1,
    tags=["data", "governance"],
    params={
        "as_of": Param(None, type=["null", "string"], format="date", title="As-of date",
                       description="Partitions older than retention.days before it expire. Empty: the run's own day."),
        "confirm": Param(False, type="boolean", title="Confirm a large deletion",
                         description="Lets this run delete more than retention.max_share of the partitions or rows."),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Show the plan, delete nothing."),
    },
    default_args={**RETRYING, "execution_timeout": timedelta(hours=2)},
):  # fmt: skip
    as_of = {"as-of": "{{ params.as_of or partition_key }}"}
    plan = Step(
        task_id="plan", command=["retention", "plan"], options=as_of,
        doc_md="What would expire: days, rows, bytes. Deletes nothing.",
    )  # fmt: skip
    apply = Step(
        task_id="apply", command=["retention", "apply"],
        options={**as_of, "yes": "{{ params.confirm }}", "dry-run": "{{ params.dry_run }}",
                 "actor": "{{ dag_run.triggering_user_name or 'schedule' }}"},
        doc_md="Tombstone, delete, list again, ledger. Skipped in a dry run.",
    )  # fmt: skip
    audit = Step(task_id="audit", command=["retention", "audit"], options=as_of, doc_md="Independent proof.")
    plan >> apply >> audit
