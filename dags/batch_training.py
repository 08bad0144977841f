"""Weekly or on demand: a challenger from the retained window, distilled, gated, approved, promoted."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from mmoe_airflow.approve import AskOnce
from mmoe_airflow.assets import PROMOTING, RETRYING, TRAINING_POOL, TRAINING_QUEUE
from mmoe_airflow.calendar import on_calendar
from mmoe_airflow.promote import Promote
from mmoe_airflow.step import Step

DOC = """
### Train a challenger on the retained window, gate it, and let a person decide

1. `mature` fills labels that are final now; `plan` fixes days, manifest digests, champion and parameters of this run.
2. `score_teacher`: the champion scores the training days once (score sets; they expire with their day).
3. `train` with cross-entropy **and distillation**; `catch_up` learns the newest days **without distillation**.
4. `evaluate`: champion and challenger score the held-out day; float32 and bfloat16 are timed side by side.
5. `gate`: relative AUC lift per head and view type with intervals, against the 0.1% threshold. A *fail* is a result.
6. `report`: one page, under *Model promotions* and on this run's tab; then `approval` waits for a person
   (*Required actions*). It holds no worker meanwhile, and no answer in a week rejects.
7. `promote` verifies the answer, the report's digest and that the champion is still the one compared with.
   Promoting anything but a *pass* needs an override reason, and a person whose role may override; both are recorded.
"""

with DAG(
    dag_id="batch_training",
    dag_display_name="Batch training",
    description="Challenger with distillation, catch-up without, offline gate, report, approval, promotion",
    doc_md=DOC,
    schedule=on_calendar("0 4 * * 1"),
    catchup=False,
    max_active_runs=1,
    tags=["models", "gate"],
    params={
        "as_of": Param(None, type=["null", "string"], format="date", title="As-of date",
                       description="The window ends at the newest day with final labels then. Empty: the run's day."),
        "train_days": Param(None, type=["null", "integer"], minimum=1, title="Days with distillation",
                            description="Empty: params.yaml window.train_days."),
        "catch_up_days": Param(None, type=["null", "integer"], minimum=0, title="Catch-up days without distillation",
                               description="Empty: params.yaml window.catch_up_days."),
        "holdout_days": Param(None, type=["null", "integer"], minimum=1, title="Held-out days for the gate",
                              description="Empty: params.yaml window.holdout_days."),
        "experts": Param("", type="string", title="Experts",
                         description="For example `dcnv2, dcnv2, mlp`. Empty: params.yaml model.experts."),
        "distillation": Param("as in params.yaml", type="string", enum=["as in params.yaml", "on", "off"],
                              title="Distillation from the champion"),
        "profile": Param("lift", type="string", enum=["lift", "parity"], title="Gate profile",
                         description="lift: a better model. parity: a refactored one that must not be worse."),
    },
    default_args={**RETRYING, "execution_timeout": timedelta(hours=24)},
):  # fmt: skip
    as_of = "{{ params.as_of or partition_key }}"
    mature = Step(task_id="mature", command=["mature"], options={"as-of": as_of}, doc_md="Labels that are final now.")
    plan = Step(
        task_id="plan", command=["plan", "batch"], doc_md="Fixes days, champion, parameters and digests of this run.",
        options={
            "as-of": as_of,
            "train-days": "{{ params.train_days }}",
            "catch-up-days": "{{ params.catch_up_days }}",
            "holdout-days": "{{ params.holdout_days }}",
            "experts": "{{ params.experts }}",
            "distillation": "{{ params.distillation if params.distillation in ('on', 'off') else '' }}",
            "profile": "{{ params.profile }}",
        },
    )  # fmt: skip
    chosen = {"plan": "{{ ti.xcom_pull(task_ids='plan')['plan'] }}"}
    heavy = {"pool": TRAINING_POOL, "queue": TRAINING_QUEUE, "options": chosen}
    score_teacher = Step(
        task_id="score_teacher", command=["score"], **heavy,
        doc_md="The champion's logits on every training day, once per day and champion.",
    )  # fmt: skip
    train = Step(task_id="train", command=["train", "batch"], **heavy, doc_md="Cross-entropy and distillation.")
    catch_up = Step(
        task_id="catch_up", command=["train", "incremental"], **heavy,
        doc_md="The newest days, in order, without distillation; registers the challenger.",
    )  # fmt: skip
    evaluate = Step(
        task_id="evaluate", command=["evaluate"], **heavy,
        doc_md="Score sets of both models on the held-out days; mixed-precision timing.",
    )  # fmt: skip
    gate = Step(task_id="gate", command=["gate-plan"], options=chosen, doc_md="The verdict, with a reason per rule.")
    report = Step(
        task_id="report", command=["report"], options={**chosen, "source-run": "{{ run_id }}"},
        doc_md="The page a person decides from.",
    )  # fmt: skip
    approval = AskOnce(
        task_id="approval",
        doc_md="Approve or reject under *Required actions*.",
        subject="{{ ti.xcom_pull(task_ids='report')['subject'] }}",
        body="{{ ti.xcom_pull(task_ids='report')['body'] }}",
        params={"override_reason": Param(None, type=["null", "string"], title="Override reason",
                                         description="Needed to promote anything but a pass.")},
        defaults="Reject",
        response_timeout=timedelta(days=7),
        execution_timeout=None,
        retries=0,
    )  # fmt: skip
    promote = Promote(
        task_id="promote", command=["promote-plan"], options={**chosen, "as-of": as_of}, approval_task="approval",
        **PROMOTING,
        doc_md="Checks the answer, the digest, the model's age and the champion, then moves the aliases.",
    )  # fmt: skip
    mature >> plan >> score_teacher >> train >> catch_up >> evaluate >> gate >> report >> approval >> promote
