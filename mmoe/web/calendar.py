"""The lake's days as months: weeks from Monday to Sunday."""

from calendar import Calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mmoe.web.lake_page import Day

WEEKDAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A day of the month; `known` is None where the lake knows nothing of it."""

    day: date
    known: Day | None

    @property
    def tone(self) -> str:
        """Its state; `warned` where it was published with warnings, `again` where a later delivery is quarantined."""
        if self.known is None:
            return "unknown"
        if self.known.manifest is None:
            return self.known.status
        if self.known.quarantined:
            return "again"
        return "warned" if self.known.manifest.validation.status == "warned" else "published"


@dataclass(frozen=True, kw_only=True)
class Month:
    name: str
    weeks: tuple[tuple[Cell | None, ...], ...]
    """Seven cells a week; None outside the month."""


def months(days: Sequence[Day]) -> list[Month]:
    """Newest first, without gaps."""
    known = {day.day: day for day in days}
    if not known:
        return []
    first, last = min(known), max(known)
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [month(number // 12, number % 12 + 1, known) for number in reversed(numbers)]


def month(year: int, number: int, known: dict[date, Day]) -> Month:
    weeks = Calendar().monthdatescalendar(year, number)
    return Month(
        name=f"{date(year, number, 1):%B %Y}",
        weeks=tuple(
            tuple(Cell(day=day, known=known.get(day)) if day.month == number else None for day in week)
            for week in weeks
        ),
    )
