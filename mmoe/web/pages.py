"""Templates, and answers made of them."""

from collections.abc import Callable
from typing import Any

from fastapi import Response
from fastapi.responses import FileResponse, HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from mmoe.settings import Settings
from mmoe.web import text
from mmoe.web.reports import find_report

ReadSettings = Callable[[], Settings]


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(TEMPLATES.get_template(template).render(**values), status_code=status)


def not_found(message: str) -> HTMLResponse:
    return page("message.html", status=404, title="Not found", message=message)


def file_or_404(settings: Settings, report: str, name: str) -> Response:
    folder = find_report(settings, report)
    path = folder / name if folder else None
    if path is None or not path.is_file():
        return not_found(f"There is no report {report!r}. Its run may not have reached the report step.")
    return FileResponse(path, content_disposition_type="inline")


def make_templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("mmoe.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= {
        "count": text.count, "size": text.size, "signed_percent": text.signed_percent, "percent": text.percent,
        "moment": text.moment, "figure": text.figure,
    }  # fmt: skip
    return templates


TEMPLATES = make_templates()
