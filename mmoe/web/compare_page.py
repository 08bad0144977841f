"""Any two versions side by side: where they come from, how they were configured, and what was measured of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.monitor import MonitoredDay
from mmoe.evaluate.verdict import slice_name
from mmoe.registry.monitored import Monitored
from mmoe.registry.records import PromotionRecord, Records, VersionRecord, VersionRecords
from mmoe.report.data import Model, ReportSummary
from mmoe.settings import Settings
from mmoe.web.reports import list_reports, read_report


@dataclass(frozen=True, kw_only=True)
class Side:
    """One version, by all records that know it."""

    version: str
    record: VersionRecord | None
    model: Model | None
    """From the report that judged it, or else one in which it was the baseline."""
    held_out: tuple[date, ...]
    """The days that the model's metrics are of."""
    judged: ReportSummary | None
    promotions: tuple[PromotionRecord, ...]
    """The changes that made it champion."""
    monitored: tuple[MonitoredDay, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    a: Side
    b: Side
    report: ReportSummary | None
    """The report that compares exactly these two on the same rows."""
    differences: tuple[tuple[str, str, str], ...]
    """Of their configurations: name, a's value, b's value."""
    metrics: tuple[tuple[str, str | None, HeadMetrics | None, HeadMetrics | None], ...]
    """By head and view type."""


def read_comparison(settings: Settings, a: str, b: str) -> Comparison | None:
    """None unless both are versions that some record knows, and different."""
    summaries = [each.summary for each in list_reports(settings)]
    both = next((each for each in summaries if {each.version, each.baseline_version} == {a, b}), None)
    first, second = (read_side(settings, version, summaries, both) for version in (a, b))
    if a == b or first is None or second is None:
        return None
    return Comparison(
        a=first,
        b=second,
        report=both,
        differences=tuple(differences(first, second)),
        metrics=tuple(paired(first, second)),
    )


def read_side(
    settings: Settings, version: str, summaries: list[ReportSummary], both: ReportSummary | None
) -> Side | None:
    """`both` is preferred as the source of metrics, since there they are of the same rows."""
    record = VersionRecords(settings).find(version)
    promotions = tuple(each for each in Records(settings).read() if each.state == "done" and each.version == version)
    judged = next((each for each in summaries if each.version == version), None)
    as_baseline = next((each for each in summaries if each.baseline_version == version), None)
    source = both or judged or as_baseline
    if record is None and not promotions and source is None:
        return None
    report = read_report(settings, source.report) if source else None
    model = None if report is None else report.challenger if report.version == version else report.champion
    return Side(
        version=version,
        record=record,
        model=model,
        held_out=report.gate.days if report else (),
        judged=judged,
        promotions=promotions,
        monitored=tuple(each for each in Monitored(settings).read() if each.version == version),
    )


def differences(a: Side, b: Side) -> list[tuple[str, str, str]]:
    left, right = ({} if side.record is None else flat(side.record.config) for side in (a, b))
    names = sorted(left.keys() | right.keys())
    return [
        (name, left.get(name, "absent"), right.get(name, "absent"))
        for name in names
        if left and right and left.get(name) != right.get(name)
    ]


def flat(content: Any, prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted names; lists stay whole."""
    if not isinstance(content, Mapping) or not content:
        return {prefix: str(content)}
    found: dict[str, str] = {}
    for name, value in content.items():
        found |= flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def paired(a: Side, b: Side) -> list[tuple[str, str | None, HeadMetrics | None, HeadMetrics | None]]:
    left, right = (by_place(side.model.metrics if side.model else ()) for side in (a, b))
    return [(head, place, left.get((head, place)), right.get((head, place))) for head, place in {**left, **right}]


def by_place(metrics: Sequence[HeadMetrics]) -> dict[tuple[str, str | None], HeadMetrics]:
    return {(metric.head, slice_name(metric.slice_by, metric.slice)): metric for metric in metrics}
