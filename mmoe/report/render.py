"""A report as one self-contained HTML page: no script, no external request, light and dark, prints well."""

import json
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mmoe.evaluate.metrics import HeadMetrics
from mmoe.report import plots
from mmoe.report.data import Model, Report

BAND = 0.001
ORDER = {"fail": 0, "inconclusive": 1, "pass": 2}


def render(report: Report) -> str:
    """The page. Everything in it is escaped but for the plots drawn here."""
    return page_environment().get_template("report.html").render(
        report=report,
        gate=report.gate,
        headline=report.gate.lift(),
        findings=sorted(report.gate.findings, key=lambda finding: ORDER[finding.verdict]),
        forest=Markup(plots.forest(report.gate.lifts, BAND)),  # noqa: S704
        calibrations=[
            Markup(plots.calibration(head, report.champion.calibration.get(head, ()), bins))  # noqa: S704
            for head, bins in report.challenger.calibration.items()
        ],
        curves=[Markup(plots.curve(curve)) for curve in report.curves],  # noqa: S704
        latency=Markup(plots.bars(latencies(report), "ms")),  # noqa: S704
        metric_rows=paired_metrics(report.champion, report.challenger),
        config=json.dumps(report.config, indent=1),
    )  # fmt: skip


def latencies(report: Report) -> list[tuple[str, float]]:
    measured = report.mixed_precision
    return [("float32", measured.float32_ms), ("bfloat16", measured.bfloat16_ms)]


def paired_metrics(champion: Model, challenger: Model) -> list[tuple[HeadMetrics | None, HeadMetrics]]:
    """Each head's metrics over all view types: the champion's beside the challenger's."""
    before = {metric.head: metric for metric in champion.metrics if metric.view_type is None}
    return [(before.get(metric.head), metric) for metric in challenger.metrics if metric.view_type is None]


@cache
def page_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mmoe.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["percent"] = lambda value, digits=2: "n/a" if value is None else f"{value:+.{digits}%}"
    environment.filters["number"] = lambda value, digits=4: "n/a" if value is None else f"{value:.{digits}f}"
    return environment
