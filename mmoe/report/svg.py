"""SVG elements that escape what they hold, and axes. Colours are the page's, through classes."""

import math
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Values from `low` to `high` onto positions from `start` to `end`; values outside land on the nearer end."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        inside = min(max((value - self.low) / span, 0.0), 1.0)
        return round(self.start + inside * (self.end - self.start), 2)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the axis, a round step apart; zero among them where it is inside."""
        rough = max((self.high - self.low) / about, 1e-12)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def element(name: str, *children: str, **attributes: object) -> Markup:
    """<name …>children</name>. `class_` is class; underscores are hyphens. Children that are Markup are kept."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, Markup("").join(map(escape, children)))  # noqa: S704


def picture(width: int, height: int, label: str, *children: str) -> Markup:
    """A drawing with a text for who cannot see it."""
    return _labelled(*children, label=label, viewBox=f"0 0 {width} {height}", class_="picture")


def strip(height: int, *children: str) -> Markup:
    """A drawing as wide as its cell, in per cent across. Hidden from screen readers: the row's text says the same."""
    return element("svg", *children, class_="strip", width="100%", height=height, aria_hidden="true")


def text(x: object, y: object, content: str, class_: str) -> Markup:
    return element("text", content, x=x, y=y, class_=class_)


def line(x1: object, y1: object, x2: object, y2: object, class_: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: list[tuple[float, float]], class_: str) -> Markup:
    return element("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in points), class_=class_)


def _labelled(*children: str, label: str, **attributes: object) -> Markup:
    return element("svg", *children, role="img", aria_label=label, **attributes)
