"""Back to an earlier champion, with a reason."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from mmoe_airflow.assets import FIRST_IN_POOL, PROMOTION_POOL, RETRYING
from mmoe_airflow.step import Step

DOC = """
### Make an earlier version champion again

*Model promotions → Roll back…* fills this in; so does *Trigger* here, or the REST API. The version is fetched from the
registry and must load and score before anything changes; one older than `retention.max_model_age_days` is refused,
unless params.yaml states `retention.rollback_beyond_max_age: true`. It happens only if **expected champion** is still
champion, and is recorded with who asked and why.
"""

with DAG(
    dag_id="rollback",
    dag_display_name="Rollback",
    description="Makes an earlier version champion again: who, why, and only from the expected champion",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["models"],
    params={
        "version": Param("", type="string", title="To version", description="Empty: the champion before this one."),
        "expected_champion": Param("", type="string", title="Expected champion",
                                   description="Refuse if another version is champion. Empty: whoever is."),
        "reason": Param("", type="string", maxLength=500, title="Reason", description="Required; it is recorded."),
    },
    default_args={**RETRYING, "execution_timeout": timedelta(minutes=30)},
):  # fmt: skip
    rollback = Step(
        task_id="rollback", command=["rollback"], pool=PROMOTION_POOL, **FIRST_IN_POOL,
        options={
            "to": "{{ params.version }}",
            "expected-champion": "{{ params.expected_champion }}",
            "actor": "{{ dag_run.triggering_user_name or 'airflow' }}",
            "reason": "{{ params.reason }}",
        },
        doc_md="Fetches and tries the version, then moves the aliases.",
    )  # fmt: skip
