"""What to simulate: the log's size, its seed, how fast its world moves, and which deliveries go wrong."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from mmoe.errors import ConfigError

HEADS = ("click", "long_click", "save", "hide")
VIEW_TYPES = ("related_pins", "search", "home_feed")
LEAST = {"seed": 0, "days": 1, "rows_per_day": 1, "users": 10, "ads": 10, "advertisers": 1, "maturity_days": 0}


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig:
    """A log is a function of this alone, and each of its days of this and the day. Raises ConfigError."""

    seed: int
    start: date
    days: int
    rows_per_day: int = 40_000
    users: int = 3_000
    ads: int = 1_200
    """Ads that run on any one day, about."""
    advertisers: int = 200
    ad_life_days: float = 12.0
    """Mean number of days between an ad's first and last impression."""
    taste_days: float = 30.0
    """Users' tastes on days d apart correlate by exp(-(d / taste_days)² / 2)."""
    maturity_days: int = 1
    """Days until `save` is final: the log's last `maturity_days` days carry it as null."""

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)}: must be at least {least}.")
        for name in ("ad_life_days", "taste_days"):
            if not getattr(self, name) >= 1:
                raise ConfigError(f"{name}={getattr(self, name)}: must be at least 1.")

    @property
    def calendar(self) -> tuple[date, ...]:
        return tuple(self.start + timedelta(days=n) for n in range(self.days))

    def index(self, day: date) -> int:
        """The day's position in the log. Raises ConfigError outside of it."""
        number = (day - self.start).days
        if not 0 <= number < self.days:
            raise ConfigError(f"day={day}: not in the log; use {self.start} to {self.calendar[-1]}.")
        return number

    def is_mature(self, day: date) -> bool:
        """Whether the log's end leaves the day's `save` time to become final."""
        return self.index(day) < self.days - self.maturity_days

    def rng(self, stream: int, *key: int) -> np.random.Generator:
        """A generator of its own for each stream and key, so that nothing depends on what was drawn before."""
        return np.random.default_rng([self.seed, stream, *key])


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Deliveries that go wrong, each on a day of its own or not at all."""

    repeated: date | None = None
    """The day's file arrives a second time under another name."""
    broken: date | None = None
    """The day's file has labels out of {0, 1}, unknown view types, null ids and non-finite numbers."""
    late: date | None = None
    """The day's file lies under late/, to be delivered after the others."""
