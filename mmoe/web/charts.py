"""Lines over days, as SVG in the page's own colours."""

from collections.abc import Sequence
from datetime import date

from markupsafe import Markup

from mmoe.report.svg import Axis, element, line, path, picture, text

Point = tuple[date, float]
SPARK_WIDTH, SPARK_HEIGHT = 120, 28
BAR_HEIGHT, BAR_STEP = 24, 7
WIDTH, HEIGHT, LEFT, RIGHT = 420, 150, 52, 410


def sparkline(points: Sequence[Point], label: str) -> Markup:
    """Newest last; the last value has a dot. Nothing but the shape: values stand beside it."""
    x, y = day_axis(points, 3, SPARK_WIDTH - 5), value_axis(points, SPARK_HEIGHT - 4, 4, least=1e-4)
    places = [(x.at(day.toordinal()), y.at(value)) for day, value in points]
    drawn = [path(places, "spark")]
    if places:
        drawn.append(element("circle", cx=places[-1][0], cy=places[-1][1], r=2.5, class_="spark-end"))
    return picture(SPARK_WIDTH, SPARK_HEIGHT, label, *drawn)


def bars(days: Sequence[tuple[date, float | None]], label: str) -> Markup:
    """Oldest first, from zero; the last one is the day itself. A day without a value has none."""
    most = max((value for _, value in days if value is not None), default=0.0)
    axis = Axis(low=0.0, high=most or 1.0, start=0.0, end=BAR_HEIGHT - 2)
    drawn = []
    for number, (_, value) in enumerate(days):
        if value is not None:
            height = max(axis.at(value), 1.0)
            side = "own" if number == len(days) - 1 else "earlier"
            place = {"x": number * BAR_STEP, "y": BAR_HEIGHT - height, "width": BAR_STEP - 2, "height": height}
            drawn.append(element("rect", class_=side, **place))
    return picture(len(days) * BAR_STEP, BAR_HEIGHT, label, *drawn)


def timeline(
    points: Sequence[Point], label: str, *, changes: Sequence[date] = (), level: float | None = None, digits: int = 3
) -> Markup:
    """A value by day. changes: days on which another version answered. level: what would be right, dashed."""
    if not points:
        return picture(WIDTH, HEIGHT, f"{label}: nothing measured")
    shown = [*points, *([(points[-1][0], level)] if level is not None else [])]
    x, y = day_axis(points, LEFT + 8, RIGHT - 8), value_axis(shown, HEIGHT - 26, 10, least=10.0**-digits)
    drawn = [line(LEFT, y.at(tick), RIGHT, y.at(tick), "grid") for tick in y.ticks(4)]
    drawn += [text(LEFT - 6, y.at(tick) + 4, f"{tick:.{digits}f}", "tick end") for tick in y.ticks(4)]
    drawn += [line(x.at(day.toordinal()), 6, x.at(day.toordinal()), HEIGHT - 26, "change") for day in changes]
    if level is not None:
        drawn.append(line(LEFT, y.at(level), RIGHT, y.at(level), "level"))
    places = [(x.at(day.toordinal()), y.at(value)) for day, value in points]
    drawn.append(path(places, "series"))
    drawn += [
        element("circle", element("title", f"{day}: {value:.{digits + 1}f}"), cx=at[0], cy=at[1], r=2.6, class_="dot")
        for at, (day, value) in zip(places, points, strict=True)
    ]
    ends = (points[0][0],) if len(points) == 1 else (points[0][0], points[-1][0])
    for day, anchor in zip(ends, ("start", "end"), strict=False):
        drawn.append(text(x.at(day.toordinal()), HEIGHT - 8, f"{day:%b} {day.day}", f"tick {anchor}"))
    return picture(WIDTH, HEIGHT, label, *drawn)


def day_axis(points: Sequence[Point], start: float, end: float) -> Axis:
    days = [day.toordinal() for day, _ in points] or [0]
    return Axis(low=min(days), high=max(days), start=start, end=end)


def value_axis(points: Sequence[Point], start: float, end: float, *, least: float) -> Axis:
    """With room above and below, and never so narrow that noise in the last digit fills it."""
    values = [value for _, value in points] or [0.0]
    low, high = min(values), max(values)
    room = max(0.12 * (high - low), least)
    return Axis(low=low - room, high=high + room, start=start, end=end)
