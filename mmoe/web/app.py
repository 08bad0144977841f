"""The pages as a FastAPI application, for any server that adds its own login."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from mmoe.errors import MmoeError
from mmoe.settings import Settings, load_settings
from mmoe.web import text
from mmoe.web.lake_page import read_lake
from mmoe.web.promotions_page import read_promotions
from mmoe.web.reports import find_report, report_of_run

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
ReadSettings = Callable[[], Settings]


@dataclass(frozen=True, kw_only=True)
class Guards:
    """FastAPI dependencies (`Depends(…)`) that refuse whoever may not see a page."""

    promotions: Sequence[Any] = ()
    """Of the list, the reports, and every address that leads nowhere."""
    runs: Sequence[Any] = ()
    """Of one DAG's run; the path parameter `dag_id` says which."""
    data: Sequence[Any] = ()


def build_app(read_settings: ReadSettings = load_settings, guards: Guards | None = None) -> FastAPI:
    """The application. `read_settings` is called at every request, so it may follow a changing environment."""
    guards = guards or Guards()
    app = FastAPI(title="mmoe", docs_url=None, redoc_url=None, openapi_url=None)
    app.middleware("http")(add_headers)
    app.add_exception_handler(MmoeError, show_error)
    app.include_router(data_router(read_settings), dependencies=guards.data)
    app.include_router(runs_router(read_settings), dependencies=guards.runs)
    app.include_router(promotions_router(read_settings), dependencies=guards.promotions)
    return app


def promotions_router(read_settings: ReadSettings) -> APIRouter:
    router = APIRouter()

    @router.get("/promotions")
    def promotions() -> HTMLResponse:
        return page("promotions.html", page=read_promotions(read_settings()))

    @router.get("/reports/{report}")
    def report(report: str) -> Response:
        return file_or_404(read_settings(), report, "report.html")

    @router.get("/reports/{report}/report.json")
    def report_data(report: str) -> Response:
        return file_or_404(read_settings(), report, "report.json")

    @router.get("/")
    def start() -> RedirectResponse:
        return RedirectResponse("promotions")

    @router.get("/{path:path}")
    def nowhere(path: str) -> HTMLResponse:
        return not_found("There is no such page.")

    return router


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
        return page("data.html", page=read_lake(read_settings()))

    return router


def file_or_404(settings: Settings, report: str, name: str) -> Response:
    folder = find_report(settings, report)
    path = folder / name if folder else None
    if path is None or not path.is_file():
        return not_found(f"There is no report {report!r}. Its run may not have reached the report step.")
    return FileResponse(path, content_disposition_type="inline")


def not_found(message: str) -> HTMLResponse:
    return page("message.html", status=404, title="Not found", message=message)


def show_error(request: Request, error: Exception) -> HTMLResponse:
    return page("message.html", status=500, title="This page cannot be shown", message=str(error))


async def add_headers(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await proceed(request)
    response.headers.update(HEADERS)
    return response


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(TEMPLATES.get_template(template).render(**values), status_code=status)


def make_templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("mmoe.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= {
        "count": text.count, "size": text.size, "signed_percent": text.signed_percent, "percent": text.percent,
        "moment": text.moment,
    }  # fmt: skip
    return templates


TEMPLATES = make_templates()
