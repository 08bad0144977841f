"""The rollback button: whoever may trigger the `rollback` DAG may press it, and it triggers that DAG.

Imported by the web server alone, at its first request: it loads Airflow's models.
"""

from contextlib import suppress
from urllib.parse import urlsplit

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.utils.types import DagRunTriggeredByType
from fastapi import Depends, HTTPException, Request

from mmoe.errors import RegistryError
from mmoe.web import Actions, Rollback

DAG_ID = "rollback"


def rollback_actions() -> Actions:
    refuse = requires_access_dag("POST", DagAccessEntity.RUN, DAG_ID)

    def name(user: GetUserDep) -> str:
        return user.get_name()

    def may_act(request: Request, user: GetUserDep) -> bool:
        try:
            refuse(request, user)
        except HTTPException:
            return False
        return True

    return Actions(
        guards=[Depends(refuse)], user=name, may_act=may_act, roll_back=start_run,
        secret=lambda: str(conf.get("api", "secret_key")), hosts=own_hosts,
    )  # fmt: skip


def start_run(wish: Rollback) -> str:
    """The address of the run below Airflow's root. Its id holds the number of the record that it would write, so that
    a form sent twice starts one run."""
    run_id = f"rollback__{wish.number}__{wish.expected_champion}_to_{wish.version}"
    asked = {"version": wish.version, "expected_champion": wish.expected_champion, "reason": wish.reason}
    try:
        with suppress(DagRunAlreadyExists):
            trigger_dag(
                DAG_ID, run_id=run_id, conf=asked, triggered_by=DagRunTriggeredByType.UI,
                triggering_user_name=wish.actor,
            )  # fmt: skip
    except DagNotFound:
        raise RegistryError("Airflow has not loaded the rollback DAG yet; try again in a minute.") from None
    return f"dags/{DAG_ID}/runs/{run_id}"


def own_hosts() -> set[str]:
    return {urlsplit(conf.get("api", "base_url", fallback="") or "").netloc}
