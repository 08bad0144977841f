"""The pages as a FastAPI application, for any server that adds its own login."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from mmoe.errors import MmoeError
from mmoe.settings import load_settings
from mmoe.web.actions import Actions
from mmoe.web.calendar import WEEKDAYS, months
from mmoe.web.charts import bars
from mmoe.web.lake_page import read_lake
from mmoe.web.pages import ReadSettings, file_or_404, not_found, page
from mmoe.web.partition_page import read_partition
from mmoe.web.promotion_routes import promotions_router
from mmoe.web.reports import report_of_run
from mmoe.web.retention_page import read_retention
from mmoe.web.rollback_routes import rollback_router

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, kw_only=True)
class Guards:
    """FastAPI dependencies (`Depends(…)`) that refuse whoever may not see a page."""

    promotions: Sequence[Any] = ()
    """Of the list, the reports, and every address that leads nowhere."""
    runs: Sequence[Any] = ()
    """Of one DAG's run; the path parameter `dag_id` says which."""
    data: Sequence[Any] = ()


def build_app(
    read_settings: ReadSettings = load_settings, guards: Guards | None = None, actions: Actions | None = None
) -> FastAPI:
    """The application. `read_settings` is called at every request, so it may follow a changing environment.

    Without `actions` it is read-only.
    """
    guards = guards or Guards()
    app = FastAPI(title="mmoe", docs_url=None, redoc_url=None, openapi_url=None)
    app.middleware("http")(add_headers)
    app.add_exception_handler(MmoeError, show_error)
    app.include_router(data_router(read_settings), dependencies=guards.data)
    app.include_router(runs_router(read_settings), dependencies=guards.runs)
    if actions is not None:
        app.include_router(rollback_router(read_settings, actions), dependencies=[*guards.promotions, *actions.guards])
    app.include_router(promotions_router(read_settings, actions), dependencies=guards.promotions)
    return app


def runs_router(read_settings: ReadSettings) -> APIRouter:
    router = APIRouter()

    @router.get("/runs/{dag_id}/{run_id:path}")
    def report_of(dag_id: str, run_id: str) -> Response:
        settings = read_settings()
        report = report_of_run(settings, run_id)
        if report is None:
            return page("no_report.html", dag_id=dag_id, run_id=run_id)
        return file_or_404(settings, report, "report.html")

    return router


def data_router(read_settings: ReadSettings) -> APIRouter:
    router = APIRouter()

    @router.get("/data")
    def data() -> HTMLResponse:
        lake = read_lake(read_settings())
        return page("data.html", page=lake, months=months(lake.days), weekdays=WEEKDAYS)

    @router.get("/retention")
    def retention() -> HTMLResponse:
        return page("retention.html", page=read_retention(read_settings()))

    @router.get("/data/{day}")
    def partition(day: str) -> HTMLResponse:
        try:
            found = read_partition(read_settings(), date.fromisoformat(day))
        except ValueError:
            found = None
        return page("partition.html", page=found, draw=bars) if found else not_found(f"No day {day!r} in the lake.")

    return router


def show_error(request: Request, error: Exception) -> HTMLResponse:
    return page("message.html", status=500, title="This page cannot be shown", message=str(error))


async def add_headers(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await proceed(request)
    response.headers.update(HEADERS)
    return response
