"""What the monitoring page shows: the champion on each fresh day before it learned it, and the alarms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from markupsafe import Markup

from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.monitor import MonitoredDay, Watch
from mmoe.evaluate.shift import stability_index
from mmoe.registry.monitored import Monitored
from mmoe.settings import Settings
from mmoe.web.charts import Point, sparkline, timeline

SPARK_DAYS, DAYS = 60, 90


@dataclass(frozen=True, kw_only=True)
class Spark:
    """One head's AUC by day, at a glance."""

    head: str
    auc: float
    """On the newest day that has one."""
    drawing: Markup


@dataclass(frozen=True, kw_only=True)
class Row:
    """One head on one day."""

    day: MonitoredDay
    head: str
    metric: HeadMetrics
    shift: float | None
    """Stability index of the predictions against the day before; None on the first day."""


@dataclass(frozen=True, kw_only=True)
class HeadCharts:
    head: str
    auc: Markup
    calibration: Markup


@dataclass(frozen=True, kw_only=True)
class MonitoringPage:
    watch: Watch | None
    """The last look; None where nobody has looked yet."""
    rows: tuple[tuple[Row, ...], ...]
    """Newest day first, one row a head."""
    sparks: tuple[Spark, ...]
    charts: tuple[HeadCharts, ...]


def read_monitoring(settings: Settings) -> MonitoringPage:
    """The last DAYS days. Raises RegistryError when a record is damaged."""
    monitored = Monitored(settings)
    days = monitored.read(last=DAYS)
    heads = days[-1].heads if days else ()
    return MonitoringPage(
        watch=monitored.read_watch(),
        rows=tuple(reversed(table(days))),
        sparks=tuple(spark for head in heads if (spark := draw_spark(head, days[-SPARK_DAYS:]))),
        charts=tuple(draw_charts(head, days) for head in heads),
    )


def series(head: str, days: Sequence[MonitoredDay], value: Callable[[HeadMetrics], float | None]) -> list[Point]:
    found = ((day.day, value(metric)) for day in days if (metric := day.of(head)))
    return [(day, number) for day, number in found if number is not None]


def draw_spark(head: str, days: Sequence[MonitoredDay]) -> Spark | None:
    points = series(head, days, lambda metric: metric.auc)
    if not points:
        return None
    label = f"Champion's AUC of {head} by day, {points[0][0]} to {points[-1][0]}, last {points[-1][1]:.4f}"
    return Spark(head=head, auc=points[-1][1], drawing=sparkline(points, label))


def draw_charts(head: str, days: Sequence[MonitoredDay]) -> HeadCharts:
    changes = version_changes(days)
    return HeadCharts(
        head=head,
        auc=timeline(series(head, days, lambda metric: metric.auc), f"AUC of {head} by day", changes=changes),
        calibration=timeline(
            series(head, days, lambda metric: metric.calibration), f"Predicted over observed rate of {head} by day",
            changes=changes, level=1.0, digits=2,
        ),
    )  # fmt: skip


def version_changes(days: Sequence[MonitoredDay]) -> list[date]:
    return [after.day for before, after in pairwise(days) if before.version != after.version]


def table(days: Sequence[MonitoredDay]) -> list[tuple[Row, ...]]:
    rows = []
    for number, day in enumerate(days):
        before = days[number - 1].histograms if number else {}
        rows.append(
            tuple(
                Row(
                    day=day, head=head, metric=metric,
                    shift=stability_index(before[head], day.histograms[head]) if head in before else None,
                )
                for head in day.heads
                if (metric := day.of(head))
            )
        )  # fmt: skip
    return rows
