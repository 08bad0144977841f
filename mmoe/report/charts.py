"""Small multiples: calibration and loss curves, one drawing a head, and bars."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from markupsafe import Markup

from mmoe.evaluate.metrics import Bin
from mmoe.report.data import Curve
from mmoe.report.svg import Axis, element, line, path, picture, strip, text

Point = tuple[float, float]
WIDTH, LEFT, RIGHT = 240, 40, 230
HEIGHT = 120


def calibration(head: str, champion: Sequence[Bin], challenger: Sequence[Bin]) -> Markup:
    """Observed over predicted rate by bin, both in logarithms, since rates span decades; the diagonal is perfect.

    Whiskers: 95% Wilson intervals of the challenger's observed rates. Bins without a positive lie on the lower edge.
    """
    low, high = rate_range([*champion, *challenger])
    x, y = Axis(low=low, high=high, start=LEFT, end=RIGHT), Axis(low=low, high=high, start=172, end=8)
    drawn = [*rate_grid(x, y), line(x.start, y.start, x.end, y.end, "diagonal")]
    drawn.append(path([place(each, x, y) for each in champion], "series champion"))
    for each in challenger:
        at, (bottom, top) = place(each, x, y), wilson(each)
        drawn.append(line(at[0], y.at(decade(bottom)), at[0], y.at(decade(top)), "error"))
    points = [place(each, x, y) for each in challenger]
    drawn.append(path(points, "series challenger"))
    drawn += [element("circle", cx=at[0], cy=at[1], r=3, class_="point challenger") for at in points]
    drawn.append(text((LEFT + RIGHT) / 2, 203, "predicted rate", "tick middle"))
    return picture(WIDTH, 208, f"Calibration of {head}: observed over predicted rate, by bin", *drawn)


def rate_range(bins: Sequence[Bin]) -> tuple[float, float]:
    """In log10: from a little below the smallest positive rate to a little above the largest."""
    rates = [rate for each in bins for rate in (each.predicted, each.observed) if rate > 0] or [0.1, 1.0]
    return decade(min(rates)) - 0.15, min(decade(max(rates)) + 0.15, 0.05)


def rate_grid(x: Axis, y: Axis) -> list[Markup]:
    drawn = []
    for rate in (number * 10.0**power for power in range(-6, 1) for number in (1, 3)):
        at = decade(rate)
        if rate > 1 or not x.holds(at):
            continue
        drawn += [line(x.at(at), y.start, x.at(at), y.end, "grid"), line(x.start, y.at(at), x.end, y.at(at), "grid")]
        name = f"{100 * rate:g}%"
        drawn += [text(x.at(at), 187, name, "tick middle"), text(LEFT - 6, y.at(at) + 4, name, "tick end")]
    return drawn


def place(each: Bin, x: Axis, y: Axis) -> Point:
    return x.at(decade(each.predicted)), y.at(decade(each.observed))


def decade(rate: float) -> float:
    return math.log10(max(rate, 1e-9))


def wilson(each: Bin, deviate: float = 1.96) -> tuple[float, float]:
    """Score interval of the observed rate: sound near 0, where the normal one is not."""
    rate, rows = each.observed, each.rows
    spread = deviate * math.sqrt(rate * (1 - rate) / rows + deviate**2 / (4 * rows**2))
    middle, scale = rate + deviate**2 / (2 * rows), 1 + deviate**2 / rows
    return (middle - spread) / scale, (middle + spread) / scale


def course(curve: Curve, boundary: float | None, end: float) -> Markup:
    """A loss or AUC over the rows learned, up to `end` rows: as logged, and smoothed. Its first steep part leaves the
    frame.

    boundary: rows at which distillation ended. A loss of exactly 0 stands for steps without any final label.
    """
    points = [(rows, value) for rows, value in curve.points if value != 0]
    mean = smoothed(points, end / 25)
    settled = [value for rows, value in mean if rows > end / 12] or [0.0, 1.0]
    room = 0.4 * (max(settled) - min(settled)) or 0.01
    x = Axis(low=0, high=end, start=0, end=RIGHT - LEFT)
    y = Axis(low=min(settled) - room, high=max(settled) + room, start=HEIGHT, end=0)
    inside = [
        *(line(0, y.at(tick), x.end, y.at(tick), "grid") for tick in y.ticks()),
        path(outside_too(points, x, y), "series raw"),
        path(outside_too(mean, x, y), "series challenger"),
    ]
    if boundary is not None and boundary < end:
        inside.append(line(x.at(boundary), 0, x.at(boundary), HEIGHT, "boundary"))
    frame = element("svg", *inside, x=LEFT, y=8, width=RIGHT - LEFT, height=HEIGHT)
    names = [text(LEFT - 6, y.at(tick) + 12, f"{tick:.4g}", "tick end") for tick in y.ticks()]
    rows = [text(LEFT, HEIGHT + 24, "0", "tick"), text(RIGHT, HEIGHT + 24, f"{end / 1000:,.0f}k rows", "tick end")]
    kind, _, head = curve.name.partition("/")
    label = f"{'AUC' if kind == 'auc' else 'Training loss'} of {head} over the rows learned"
    return picture(WIDTH, HEIGHT + 30, label, *names, *rows, frame)


def outside_too(points: Sequence[Point], x: Axis, y: Axis) -> list[Point]:
    """Places that may lie above the frame, which clips them, so that a steep fall is not drawn along its edge."""
    span = y.high - y.low
    return [(x.at(rows), round(y.start * (y.high - value) / span, 1)) for rows, value in points]


def smoothed(points: Sequence[Point], reach: float) -> list[Point]:
    """Means over the points within `reach` rows."""
    places = [rows for rows, _ in points]
    means = []
    for rows in places:
        near = points[bisect_left(places, rows - reach) : bisect_right(places, rows + reach)]
        means.append((rows, sum(value for _, value in near) / len(near)))
    return means


def bar(share: float, class_: str) -> Markup:
    """A bar of `share` of its cell's width."""
    drawn = element("rect", x=0, y=3, width=f"{100 * share:.1f}%", height=14, rx=3, class_=f"bar {class_}")
    return strip(20, drawn)
