"""Addresses of models: the promotions, reports, comparisons, and the way to MLflow."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from mmoe.web.actions import Actions
from mmoe.web.compare_page import read_comparison
from mmoe.web.monitoring_page import read_monitoring
from mmoe.web.pages import ReadSettings, file_or_404, not_found, page
from mmoe.web.promotions_page import DECISIONS, Filters, read_promotions

RUN_ID = re.compile(r"[0-9a-f]{32}")


def nobody_may() -> bool:
    return False


def promotions_router(read_settings: ReadSettings, actions: Actions | None) -> APIRouter:
    router = APIRouter()
    may_act = actions.may_act if actions else nobody_may

    @router.get("/promotions")
    def promotions(
        may_act: Annotated[bool, Depends(may_act)], verdict: str = "", kind: str = "", decision: str = "",
        text: str = "", number: int = 1,
    ) -> HTMLResponse:  # fmt: skip
        settings = read_settings()
        filters = Filters(verdict=verdict, kind=kind, decision=decision, text=text)
        shown: dict[str, Any] = {
            "page": read_promotions(settings, filters, number),
            "monitoring": read_monitoring(settings),
            "decisions": DECISIONS,
            "may_act": may_act,
        }
        return page("promotions.html", **shown)

    @router.get("/monitoring")
    def monitoring() -> HTMLResponse:
        return page("monitoring.html", page=read_monitoring(read_settings()))

    @router.get("/compare")
    def compare(a: str = "", b: str = "") -> HTMLResponse:
        comparison = read_comparison(read_settings(), a, b)
        if comparison is None:
            return not_found("Choose two different versions on the promotions page.")
        return page("compare.html", page=comparison)

    @router.get("/reports/{report}")
    def report(report: str) -> Response:
        return file_or_404(read_settings(), report, "report.html")

    @router.get("/reports/{report}/report.json")
    def report_data(report: str) -> Response:
        return file_or_404(read_settings(), report, "report.json")

    @router.get("/mlflow/{run_id}")
    def mlflow(run_id: str) -> Response:
        address = read_settings().mlflow_ui
        if address is None or not RUN_ID.fullmatch(run_id):
            return not_found("MLflow's address is not known here, or there is no such run: set MMOE_MLFLOW_URL.")
        return RedirectResponse(f"{address}/#/runs/{run_id}")

    @router.get("/")
    def start() -> RedirectResponse:
        return RedirectResponse("promotions")

    @router.get("/{path:path}")
    def nowhere(path: str) -> HTMLResponse:
        return not_found("There is no such page.")

    return router
