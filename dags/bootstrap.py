"""The first champion: an explicit, one-time decision."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from mmoe_airflow.assets import PROMOTING, RETRYING, TRAINING_POOL, TRAINING_QUEUE
from mmoe_airflow.step import Step

DOC = """
### Train and install the first champion

A relative gate needs a baseline. This DAG trains the shared-bottom DCNv2 of `params.yaml: baseline` on the days that
you choose and makes it champion **without a comparison**, once: it refuses as soon as the registry has a champion.
"""

with DAG(
    dag_id="bootstrap",
    dag_display_name="Bootstrap",
    description="Trains the shared-bottom baseline and installs it as the first champion; refuses if one exists",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["models"],
    params={
        "first_day": Param(None, type=["null", "string"], format="date", title="First day to train on",
                           description="Required."),
        "last_day": Param(None, type=["null", "string"], format="date", title="Last day to train on",
                          description="Required."),
    },
    default_args={**RETRYING, "execution_timeout": timedelta(hours=12)},
):  # fmt: skip
    plan = Step(
        task_id="plan", command=["plan", "bootstrap"], doc_md="Fixes days, parameters and digests of this run.",
        options={"first": "{{ params.first_day or '' }}", "last": "{{ params.last_day or '' }}"},
    )  # fmt: skip
    chosen = {"plan": "{{ ti.xcom_pull(task_ids='plan')['plan'] }}"}
    train = Step(
        task_id="train", command=["train", "batch"], options=chosen, pool=TRAINING_POOL, queue=TRAINING_QUEUE,
        doc_md="One pass over the days, without distillation.",
    )  # fmt: skip
    install = Step(
        task_id="install", command=["install"],
        options={**chosen, "actor": "{{ dag_run.triggering_user_name or 'airflow' }}"},
        **PROMOTING, doc_md="Registers the version and sets the champion alias, if there is none.",
    )  # fmt: skip
    plan >> train >> install
