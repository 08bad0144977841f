"""Asking a person, once a run; and who may override a verdict."""

import os
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

ROLES, USERS = "MMOE_OVERRIDE_ROLES", "MMOE_OVERRIDE_USERS"


class AskOnce(ApprovalOperator):
    """Asks when the task first runs. Cleared, it refuses: the answer that was given stands for this run's candidate."""

    def execute(self, context: Any) -> Any:
        if context["ti"].try_number > 1:
            raise AirflowFailException(
                "this run has asked before and does not ask again, so nothing is promoted; trigger a new run, "
                "which takes up all finished work"
            )
        return super().execute(context)


def may_override(user: str) -> bool:
    """Whether a user (by id) may promote what did not pass: named in MMOE_OVERRIDE_USERS, or, under Airflow's simple
    auth manager, of a role in MMOE_OVERRIDE_ROLES (default: admin)."""
    if user in listed(os.environ.get(USERS, "")):
        return True
    roles = listed(os.environ.get(ROLES, "admin"))
    known = dict(entry.partition(":")[::2] for entry in listed(simple_users()))
    return known.get(user, "").lower() in {role.lower() for role in roles}


def simple_users() -> str:
    if "SimpleAuthManager" not in conf.get("core", "auth_manager", fallback=""):
        return ""
    return str(conf.get("core", "simple_auth_manager_users", fallback=""))


def listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
