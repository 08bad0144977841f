"""A report as one self-contained HTML page: no script, no external request, light and dark, phone and print."""

import json
import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mmoe.evaluate.metrics import HeadMetrics
from mmoe.report import charts, forest, story
from mmoe.report.data import Report

BAND = 0.001
"""What counts in this field: 0.1% of AUC. The forest plot shades it."""
DISTILLATION = "loss/distillation"
MINUS = "\N{MINUS SIGN}"


def render(report: Report) -> str:
    """The page. All text is escaped; drawings escape what they hold."""
    days = story.days_shown(report)
    return page_environment().get_template("report.html").render(
        report=report,
        gate=report.gate,
        headline=report.gate.lift(),
        conclusion=story.conclusion(report),
        consequence=story.consequence(report),
        groups=story.rule_groups(report.gate),
        findings=sorted(report.gate.findings, key=lambda finding: story.ORDER[finding.verdict]),
        forest=forest.forest(report.gate, BAND),
        scale=forest.forest_scale(report.gate, BAND),
        metrics=paired_metrics(report),
        calibrations=calibrations(report),
        losses=courses(report, "loss"),
        aucs=courses(report, "auc"),
        distilled=any(curve.name == DISTILLATION for curve in report.curves),
        latencies=latencies(report),
        costs=costs(report),
        calendars=[(model, story.calendar(model, days)) for model in (report.challenger, report.champion)],
        days=days,
        config=json.dumps(report.config, indent=1),
    )  # fmt: skip


def paired_metrics(report: Report) -> list[tuple[HeadMetrics | None, HeadMetrics]]:
    """The baseline's metrics, where it has them, beside the challenger's, by head and view type."""
    before = {(metric.head, metric.slice_by, metric.slice): metric for metric in report.champion.metrics}
    return [(before.get((metric.head, metric.slice_by, metric.slice)), metric) for metric in report.challenger.metrics]


def calibrations(report: Report) -> list[tuple[str, Markup]]:
    return [
        (head, charts.calibration(head, report.champion.calibration.get(head, ()), bins))
        for head, bins in report.challenger.calibration.items()
    ]


def courses(report: Report, kind: str) -> list[tuple[str, Markup]]:
    """Every curve of a kind, `loss` or `auc`, on the same axis of rows."""
    ends = {curve.name: curve.points[-1][0] for curve in report.curves if curve.points}
    end, boundary = max(ends.values(), default=1.0), ends.get(DISTILLATION)
    return [
        (curve.name.removeprefix(f"{kind}/"), charts.course(curve, boundary, end))
        for curve in report.curves
        if curve.name.startswith(f"{kind}/")
    ]


def latencies(report: Report) -> list[tuple[str, float, Markup]]:
    measured = report.mixed_precision
    times = {"float32": measured.float32_ms, "bfloat16": measured.bfloat16_ms}
    longest = max(*times.values(), 1e-9)
    return [(name, time, charts.bar(time / longest, name)) for name, time in times.items()]


def costs(report: Report) -> list[tuple[str, str, list[tuple[str, float, Markup]]]]:
    """Name, unit, and both models' figures with their bars: latency in ms, the bundle in MB."""
    found = report.serving
    pairs = [
        ("Latency of a request", "ms", found.challenger_ms, found.champion_ms),
        ("Bundle", "MB", found.challenger_bytes / 1e6, found.champion_bytes / 1e6),
    ]
    return [
        (
            name,
            unit,
            [
                (f"version {report.version}", new, charts.bar(new / max(new, old, 1e-9), "bfloat16")),
                (f"version {report.baseline_version}", old, charts.bar(old / max(new, old, 1e-9), "float32")),
            ],
        )
        for name, unit, new, old in pairs
    ]


def percent(share: float | None, digits: int = 2) -> str:
    return "n/a" if share is None else f"{100 * share:+.{digits}f}%".replace("-", MINUS)


def number(value: float | None, digits: int = 4) -> str:
    return "n/a" if value is None else f"{value:,.{digits}f}".replace("-", MINUS)


def difference(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "n/a"
    return f"{after - before:+.5f}".replace("-", MINUS) if round(after - before, 5) else "0"


def typeset(text: str) -> str:
    """A hyphen before a number that is no part of a word or a date is a minus sign."""
    return re.sub(r"(?<![\w-])-(?=\d)", MINUS, text)


@cache
def page_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mmoe.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "percent": percent, "number": number, "difference": difference, "count": "{:,}".format, "typeset": typeset,
        "slice_name": story.slice_name, "days_in_words": story.days_in_words,
    }  # fmt: skip
    return environment
