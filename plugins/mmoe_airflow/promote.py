"""Promotion as a task: only what a person approved in this very run."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from mmoe_airflow.approve import may_override
from mmoe_airflow.step import Step


class Promote(Step):
    """Reads the approval's answer from `approval_task` and passes who answered and why to the promotion step.

    An approval that was marked success by hand, or that nobody answered, left no answer and promotes nothing. Whether
    the verdict needs an override is judged by the step, which is told whether this person may give one.
    """

    template_fields: Sequence[str] = (*Step.template_fields, "approval_task")

    def __init__(self, *, approval_task: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approval_task = approval_task

    def execute(self, context: Any) -> dict[str, Any]:
        answer = context["ti"].xcom_pull(task_ids=self.approval_task) or {}
        responder = answer.get("responded_by_user") or {}
        if answer.get("chosen_options") != ["Approve"] or not responder.get("name"):
            raise AirflowFailException(
                f"{self.approval_task!r} holds no approval by a person, so nothing is promoted. "
                "Trigger a new run to be asked again."
            )
        reason = (answer.get("params_input") or {}).get("override_reason") or ""
        barred = "" if may_override(str(responder.get("id"))) else "True"
        self.options = {**self.options, "actor": responder["name"], "override-reason": reason, "barred": barred}
        return super().execute(context)
