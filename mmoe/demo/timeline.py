"""Which days of a log play which part in the demo."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from mmoe.errors import SchemaError

FEWEST_DAYS = 6
ROWS_FOR_ONE_HOLDOUT_DAY = 30_000


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """[bootstrap][train][catch up][hold out][labels not final][fresh]; bootstrap days expire before training."""

    days: tuple[date, ...]
    bootstrap_days: int
    train_days: int
    catch_up_days: int
    holdout_days: int

    @property
    def history(self) -> tuple[date, ...]:
        return self.days[:-1]

    @property
    def fresh(self) -> date:
        return self.days[-1]

    @property
    def bootstrap(self) -> tuple[date, date]:
        return self.days[0], self.days[self.bootstrap_days - 1]

    @property
    def as_of(self) -> date:
        """The day on which history is complete: retention and batch training look back from here."""
        return self.days[-2] + timedelta(days=1)

    @property
    def retention_days(self) -> int:
        """So short that exactly the bootstrap days expire."""
        return (self.as_of - self.days[self.bootstrap_days]).days

    def parameters(self) -> dict[str, Any]:
        """What the demo changes in params.yaml."""
        return {
            "window": {
                "train_days": self.train_days,
                "catch_up_days": self.catch_up_days,
                "holdout_days": self.holdout_days,
            },
            "retention": {"days": self.retention_days},
        }


def plan_timeline(days: Sequence[date], *, maturity_days: int, rows_per_day: int) -> Timeline:
    """A third of the days for the first champion, the rest for the challenger. Raises SchemaError below six days."""
    fewest = FEWEST_DAYS + maturity_days
    if len(days) < fewest:
        raise SchemaError(f"the log has {len(days)} days, but the loop needs at least {fewest}: give more days.")
    bootstrap = max(1, len(days) // 3)
    usable = len(days) - bootstrap - 1 - maturity_days
    catch_up = 2 if usable >= 8 else 1
    holdout = 1 if rows_per_day >= ROWS_FOR_ONE_HOLDOUT_DAY else max(1, usable // 4)
    return Timeline(
        days=tuple(sorted(days)),
        bootstrap_days=bootstrap,
        train_days=usable - catch_up - holdout,
        catch_up_days=catch_up,
        holdout_days=holdout,
    )
