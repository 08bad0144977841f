"""Which days a model's weights have learned. Deleting rows does not make a model forget them: so it is recorded."""

from collections.abc import Mapping
from datetime import date

from mmoe.lake.partitions import RETENTION
from mmoe.parsing import Frozen

MODELS_KEY = f"{RETENTION}/models.json"
"""In the lake: what the last audit found, for the UI."""


class LearnedModel(Frozen):
    """A registered version and the days behind its weights, oldest first."""

    version: str
    stage: str
    aliases: tuple[str, ...]
    own: tuple[date, ...]
    """Days that its own training read."""
    inherited: tuple[date, ...]
    """Days of the versions that it was warm-started from."""
    taught: tuple[date, ...]
    """Days that reached it only through a teacher's predictions, or its teacher's teacher's."""

    @property
    def oldest(self) -> date | None:
        """Oldest day that its weights have learned from rows."""
        return min((*self.own, *self.inherited), default=None)

    def age(self, as_of: date) -> int:
        """Days from the oldest day it has learned to `as_of`; 0 for a model without days."""
        return (as_of - self.oldest).days if self.oldest is not None else 0

    def learned(self, day: date) -> str | None:
        """How the day reached it: own, inherited, taught, or None."""
        days: Mapping[str, tuple[date, ...]] = {"own": self.own, "inherited": self.inherited, "taught": self.taught}
        return next((how for how, among in days.items() if day in among), None)


class LearnedModels(Frozen):
    """What the audit keeps for the UI."""

    as_of: date
    max_age_days: int | None
    models: tuple[LearnedModel, ...]
    unknown: str | None = None
    """Why the registry could not be asked."""

    @property
    def too_old(self) -> tuple[LearnedModel, ...]:
        """Those beyond the limit that an alias still points at."""
        if self.max_age_days is None:
            return ()
        return tuple(each for each in self.models if each.aliases and each.age(self.as_of) > self.max_age_days)
