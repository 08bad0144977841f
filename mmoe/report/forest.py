"""The forest plot of lifts: a table whose rows each hold a strip, so that its text stays legible on every width."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mmoe.evaluate.verdict import Finding, GateResult, Lift
from mmoe.report.svg import Axis, element, line, strip, text

Place = tuple[str | None, str | None, str | None]
LIFT_RULES = {"lift", "head", "slice", "slice too small", "guardrail"}
SMALL = 0.1
"""Share of the rows below which a slice's estimate does not widen the axis."""


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    lift: Lift
    tone: str
    """The verdict of the rule on this lift; `plain` where none is judged."""
    strip: Markup


def forest(gate: GateResult, band: float) -> list[ForestRow]:
    """A row a lift, in the gate's order."""
    axis = lift_axis(gate.lifts, band)
    verdicts = {(found.head, found.slice_by, found.slice): found for found in gate.findings if found.rule in LIFT_RULES}
    return [
        ForestRow(lift=lift, tone=(tone := tone_of(lift, verdicts)), strip=lift_strip(lift, axis, band, tone))
        for lift in gate.lifts
    ]


def lift_axis(lifts: Sequence[Lift], band: float) -> Axis:
    """Wide enough for whole heads with their intervals, and for the estimates on slices of at least `SMALL` of the
    rows; what is measured worse than that lands on the edge."""
    edges = [0.0, -2 * band, 2 * band]
    most = max((lift.rows for lift in lifts), default=0)
    for lift in lifts:
        edges += [lift.lift] if lift.lift is not None and lift.rows >= SMALL * most else []
        edges += [value for value in (lift.low, lift.high) if value is not None and lift.slice is None]
    room = 0.12 * (max(edges) - min(edges))
    return Axis(low=min(edges) - room, high=max(edges) + room, start=0, end=100)


def forest_scale(gate: GateResult, band: float) -> Markup:
    """The axis below the rows."""
    axis = lift_axis(gate.lifts, band)
    marks = [text(f"{axis.at(tick)}%", 13, percent_tick(tick, axis), "tick middle") for tick in axis.ticks()]
    return strip(18, *marks)


def lift_strip(lift: Lift, axis: Axis, band: float, tone: str) -> Markup:
    """Band, zero line, interval with an arrow where it leaves the axis, and estimate."""
    height, middle = (30, 15) if lift.slice is None else (24, 12)
    drawn = [
        element(
            "rect", x=f"{axis.at(-band)}%", y=0, width=f"{axis.at(band) - axis.at(-band):.2f}%", height=height,
            class_="band",
        ),
        line(f"{axis.at(0)}%", 0, f"{axis.at(0)}%", height, "zero"),
    ]  # fmt: skip
    if lift.lift is not None and lift.low is not None and lift.high is not None:
        low, high = axis.at(lift.low), axis.at(lift.high)
        drawn.append(line(f"{low}%", middle, f"{high}%", middle, f"whisker {tone}"))
        drawn += [
            line(f"{x}%", middle - 4, f"{x}%", middle + 4, f"whisker {tone}")
            for x, edge in ((low, lift.low), (high, lift.high))
            if axis.holds(edge)
        ]
        radius = 5.5 if lift.slice is None else 4
        drawn.append(element("circle", cx=f"{axis.at(lift.lift)}%", cy=middle, r=radius, class_=f"dot {tone}"))
    return strip(height, *drawn)


def tone_of(lift: Lift, verdicts: dict[Place, Finding]) -> str:
    found = verdicts.get((lift.head, lift.slice_by, lift.slice))
    return "plain" if found is None or lift.lift is None else found.verdict


def percent_tick(value: float, axis: Axis) -> str:
    digits = 1 if axis.high - axis.low < 0.05 else 0
    return "0" if abs(value) < 1e-12 else f"{100 * value:+.{digits}f}%".replace("-", "\N{MINUS SIGN}")
