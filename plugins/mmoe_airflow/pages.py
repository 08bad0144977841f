"""The web pages behind Airflow's login. Imports nothing heavy before the first request."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

INGEST, BATCH = "engagement_ingest", "batch_training"


class GuardedPages:
    """An ASGI application. A plugin's application is open to anyone unless it asks for the login itself: so it does,
    at every address, and wants the right to read the DAG whose results a page shows."""

    @cached_property
    def app(self) -> "FastAPI":
        from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
        from airflow.api_fastapi.core_api.security import requires_access_dag
        from fastapi import Depends

        from mmoe.settings import load_settings
        from mmoe.web import Guards, build_app
        from mmoe_airflow.rollback import rollback_actions

        def may_read(dag_id: str | None) -> list[Any]:
            return [Depends(requires_access_dag("GET", DagAccessEntity.RUN, dag_id))]

        guards = Guards(promotions=may_read(BATCH), runs=may_read(None), data=may_read(INGEST))
        return build_app(load_settings, guards, rollback_actions())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
