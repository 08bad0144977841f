"""Promotion reports on disk: HOME/reports/<id>/report.{html,json}. What is listed is read from the JSON alone."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmoe.settings import Settings

REPORT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, kw_only=True)
class Lift:
    """Relative AUC lift with its confidence interval; 0.001 is 0.1%."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class ReportSummary:
    report: str
    title: str
    verdict: str
    version: str | None
    baseline: str | None
    overall: Lift | None
    source_run: str | None
    written: datetime


def find_report(settings: Settings, report: str) -> Path | None:
    """The report's folder; None for a name that is none, or that leads out of the reports."""
    if not REPORT_ID.fullmatch(report):
        return None
    root = settings.reports.resolve()
    folder = (root / report).resolve()
    return folder if folder.parent == root and folder.is_dir() else None


def list_reports(settings: Settings) -> list[ReportSummary]:
    """Newest first. A report that is half written, or not one, is left out."""
    summaries = (summarise(folder, content) for folder, content in stored_reports(settings))
    return sorted(summaries, key=lambda summary: (summary.written, summary.report), reverse=True)


def report_of_run(settings: Settings, run_id: str) -> str | None:
    """The newest report that the orchestrator's run wrote."""
    return next((summary.report for summary in list_reports(settings) if summary.source_run == run_id), None)


def stored_reports(settings: Settings) -> Iterator[tuple[Path, dict[str, Any]]]:
    if not settings.reports.is_dir():
        return
    for path in settings.reports.iterdir():
        folder = find_report(settings, path.name)
        try:
            content = json.loads((folder / "report.json").read_bytes()) if folder else None
        except (OSError, ValueError):
            continue
        if folder and isinstance(content, dict):
            yield folder, content


def summarise(folder: Path, content: dict[str, Any]) -> ReportSummary:
    gate = content.get("gate") or {}
    return ReportSummary(
        report=folder.name,
        title=str(content.get("title") or folder.name),
        verdict=str(content.get("verdict") or gate.get("verdict") or "unknown"),
        version=as_text(content.get("version")),
        baseline=as_text(content.get("baseline_version")),
        overall=overall_lift(gate.get("lifts") or []),
        source_run=as_text(content.get("source_run")),
        written=datetime.fromtimestamp((folder / "report.json").stat().st_mtime, tz=UTC),
    )


def overall_lift(lifts: list[dict[str, Any]]) -> Lift | None:
    """The headline among the gate's lifts: the one of no particular head and view type."""
    for lift in lifts:
        if not lift.get("head") and not lift.get("view_type"):
            return Lift(value=lift.get("lift"), low=lift.get("low"), high=lift.get("high"))
    return None


def as_text(value: object) -> str | None:
    return None if value is None else str(value)
