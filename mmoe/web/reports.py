"""Promotion reports on disk: HOME/reports/<id>/report.{html,json}, listed by the small summary.json beside them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from mmoe.report.data import Report, ReportSummary
from mmoe.settings import Settings

REPORT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
SUMMARY = "summary.json"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A report in the list."""

    summary: ReportSummary
    written: datetime


def find_report(settings: Settings, report: str) -> Path | None:
    """The report's folder; None for a name that is none, or that leads out of the reports."""
    if not REPORT_ID.fullmatch(report):
        return None
    root = settings.reports.resolve()
    folder = (root / report).resolve()
    return folder if folder.parent == root and folder.is_dir() else None


def list_reports(settings: Settings) -> list[Listed]:
    """Newest first. A report that is half written, or not one, is left out."""
    found = [listed for path in settings.reports.glob(f"*/{SUMMARY}") if (listed := read_summary(path))]
    return sorted(found, key=lambda listed: (listed.written, listed.summary.report), reverse=True)


def read_summary(path: Path) -> Listed | None:
    try:
        summary = ReportSummary.model_validate_json(path.read_bytes())
        written = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    except (OSError, ValidationError):
        return None
    return Listed(summary=summary, written=written) if summary.report == path.parent.name else None


def read_report(settings: Settings, report: str) -> Report | None:
    """The whole report; None where there is none, or it was written by another release."""
    folder = find_report(settings, report)
    try:
        return Report.model_validate_json((folder / "report.json").read_bytes()) if folder else None
    except (OSError, ValidationError):
        return None


def report_of_run(settings: Settings, run_id: str) -> str | None:
    """The newest report that the orchestrator's run wrote."""
    return next((each.summary.report for each in list_reports(settings) if each.summary.source_run == run_id), None)
