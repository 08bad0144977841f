"""Plots as SVG text. Colours are the page's CSS variables, so one drawing serves light, dark and print."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mmoe.evaluate.metrics import Bin
from mmoe.evaluate.verdict import Lift
from mmoe.report.data import Curve

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Values from `low` to `high` onto pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        inside = min(max((value - self.low) / span, 0.0), 1.0)
        return round(self.start + inside * (self.end - self.start), 1)


def forest(lifts: Sequence[Lift], threshold: float) -> str:
    """One row a lift: estimate and interval, with the ±threshold band. Rows without an estimate say so."""
    shown = [lift for lift in lifts if lift.low is not None and lift.high is not None]
    bounds = [edge for lift in shown for edge in (lift.low, lift.high) if edge is not None]
    reach = max([abs(edge) for edge in bounds] + [2 * threshold])
    low = min([-2 * threshold, *bounds]) - 0.05 * reach
    axis = Axis(low=low, high=max([2 * threshold, *bounds]) + 0.05 * reach, start=190, end=590)
    height = 30 + 24 * len(lifts)
    body = [
        f'<rect x="{axis.at(-threshold)}" y="6" width="{axis.at(threshold) - axis.at(-threshold):.1f}" '
        f'height="{height - 26}" class="band"/>',
        line(axis.at(0), 6, axis.at(0), height - 20, "zero"),
        *(text(axis.at(tick), height - 4, f"{tick:+.1%}", "tick middle") for tick in ticks(axis)),
    ]
    for number, lift in enumerate(lifts):
        body.append(forest_row(lift, axis, 20 + 24 * number))
    return svg(800, height, f"Relative AUC lift with intervals and the ±{threshold:.1%} band", body)


def forest_row(lift: Lift, axis: Axis, y: float) -> str:
    if lift.view_type:
        name = text(24, y + 4, lift.view_type, "label")
    else:
        name = text(8, y + 4, f"{lift.head}: all view types" if lift.head else "primary heads, mean", "label strong")
    if lift.lift is None or lift.low is None or lift.high is None:
        return name + text(axis.start, y + 4, f"too few labels ({lift.positives} positives)", "tick")
    tone = "good" if lift.low > 0 else "bad" if lift.high < 0 else "open"
    size = 4 if lift.view_type else 5
    return (
        name
        + line(axis.at(lift.low), y, axis.at(lift.high), y, f"whisker {tone}")
        + f'<circle cx="{axis.at(lift.lift)}" cy="{y}" r="{size}" class="dot {tone}"/>'
        + text(792, y + 4, f"{lift.lift:+.2%} [{lift.low:+.2%}, {lift.high:+.2%}]", "value end")
    )


def calibration(head: str, champion: Sequence[Bin], challenger: Sequence[Bin]) -> str:
    """Observed over predicted rate by bin; the diagonal is perfect."""
    top = max([0.01] + [max(each.predicted, each.observed) for each in (*champion, *challenger)])
    x, y = Axis(low=0, high=top, start=40, end=250), Axis(low=0, high=top, start=180, end=14)
    body = [
        frame(x, y),
        line(x.start, y.start, x.end, y.end, "zero"),
        polyline([(x.at(each.predicted), y.at(each.observed)) for each in champion], "series champion"),
        polyline([(x.at(each.predicted), y.at(each.observed)) for each in challenger], "series challenger"),
        *(dot(x.at(each.predicted), y.at(each.observed), "challenger") for each in challenger),
        text(x.end, 196, f"{top:.0%}" if top >= 0.1 else f"{top:.1%}", "tick end"),
        text(145, 196, "predicted", "tick middle"),
        text(36, 18, f"{top:.0%}" if top >= 0.1 else f"{top:.1%}", "tick end"),
        text(x.start + 6, 26, head, "label strong"),
    ]
    return svg(262, 202, f"Calibration of {head}: observed rate over predicted rate", body)


def curve(drawn: Curve) -> str:
    """A loss over the rows learned."""
    values = [value for _, value in drawn.points] or [0.0]
    last = max([rows for rows, _ in drawn.points] or [1.0])
    x = Axis(low=0, high=last, start=48, end=250)
    y = Axis(low=min(values), high=max(values), start=130, end=34)
    body = [
        frame(x, y),
        polyline([(x.at(rows), y.at(value)) for rows, value in drawn.points], "series challenger"),
        text(44, 134, f"{min(values):.3f}", "tick end"),
        text(44, 38, f"{max(values):.3f}", "tick end"),
        text(x.end, 148, f"{last / 1000:,.0f}k rows", "tick end"),
        text(x.start, 20, drawn.name.removeprefix("loss/"), "label strong"),
    ]
    return svg(262, 154, f"{drawn.name} over rows learned", body)


def bars(values: Sequence[tuple[str, float]], unit: str) -> str:
    """Horizontal bars from 0, with their values."""
    axis = Axis(low=0, high=max([value for _, value in values] + [1e-9]), start=110, end=430)
    body = []
    for number, (name, value) in enumerate(values):
        y = 10 + 30 * number
        body.append(text(8, y + 14, name, "label"))
        body.append(
            f'<rect x="110" y="{y}" width="{axis.at(value) - 110:.1f}" height="20" class="bar b{number}" rx="2"/>'
        )
        body.append(text(axis.at(value) + 8, y + 14, f"{value:.2f} {unit}", "value"))
    return svg(540, 10 + 30 * len(values), ", ".join(f"{name} {value:.2f} {unit}" for name, value in values), body)


def ticks(axis: Axis) -> list[float]:
    """About five round values inside the axis, zero among them where it is inside."""
    span = axis.high - axis.low
    step = next(
        (size * 10**power for power in range(-5, 2) for size in (1, 2, 5) if span / (size * 10**power) <= 6), span
    )  # fmt: skip
    first = int(axis.low / step)
    return [number * step for number in range(first, first + 8) if axis.low <= number * step <= axis.high]


def svg(width: int, height: int, title: str, body: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" '
        f'style="max-width:{width}px">{"".join(body)}</svg>'
    )


def text(x: float, y: float, content: str, kind: str) -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{kind}"/>'


def dot(x: float, y: float, kind: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="2.5" class="dot {kind}"/>'


def frame(x: Axis, y: Axis) -> str:
    return line(x.start, y.start, x.end, y.start, "axis") + line(x.start, y.start, x.start, y.end, "axis")


def polyline(points: Sequence[Point], kind: str) -> str:
    return f'<polyline points="{" ".join(f"{x},{y}" for x, y in points)}" class="{kind}"/>'
