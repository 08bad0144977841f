"""The retention horizons: the first day that may still be read, in whole, per view type and per label.

They only ever move forward, whatever params.yaml says later.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from pydantic import Field

from mmoe.config import RetentionConfig
from mmoe.lake.manifest import from_json, to_json
from mmoe.lake.partitions import HORIZON_KEY
from mmoe.lake.store import Store
from mmoe.parsing import Frozen


class Horizon(Frozen):
    day: date
    """First readable day."""
    view_types: dict[str, date] = Field(default_factory=dict)
    """First readable day of view types that expire earlier."""
    labels: dict[str, date] = Field(default_factory=dict)
    """First day on which a label may still be known; before it, the label is null."""

    @property
    def newest(self) -> date:
        """From this day on, nothing is hidden and nothing masked."""
        return max((self.day, *self.view_types.values(), *self.labels.values()))

    def hides(self, day: date, view_type: str | None) -> bool:
        """Whether such a row may no longer be read. One of no known view type goes with the earliest."""
        first = max((self.day, *self.view_types.values()))
        return day < (first if view_type is None else max(self.day, self.view_types.get(view_type, self.day)))

    def masks(self, day: date, label: str) -> bool:
        return day < self.labels.get(label, self.day)


def horizon_of(as_of: date, config: RetentionConfig) -> Horizon:
    """Where the policy puts the horizons on `as_of`, a date of the schema's days."""

    def before(days: Mapping[str, int]) -> dict[str, date]:
        return {name: as_of - timedelta(days=number) for name, number in sorted(days.items())}

    return Horizon(
        day=as_of - timedelta(days=config.days),
        view_types=before(config.view_types),
        labels=before(config.labels),
    )


def later(one: Horizon, other: Horizon | None) -> Horizon:
    """The further of both, one by one."""
    if other is None:
        return one
    return Horizon(
        day=max(one.day, other.day),
        view_types=_later(one.view_types, other.view_types),
        labels=_later(one.labels, other.labels),
    )


def read_horizons(store: Store) -> Horizon | None:
    """None before the first retention run. Raises CorruptionError."""
    content = store.read_bytes(HORIZON_KEY)
    fix = "restore it, or write the horizon that the ledger's last entry states"
    return from_json(Horizon, content, HORIZON_KEY, fix) if content is not None else None


def read_horizon(store: Store) -> date | None:
    """The first readable day; None before the first retention run."""
    horizon = read_horizons(store)
    return horizon.day if horizon is not None else None


def advance_horizon(store: Store, wanted: Horizon) -> Horizon:
    """Move each horizon to the wanted day unless it is there or further already; returns where they are now."""
    current = read_horizons(store)
    moved = later(wanted, current)
    if moved != current:
        store.write_bytes(HORIZON_KEY, to_json(moved))
    return moved


def _later(one: Mapping[str, date], other: Mapping[str, date]) -> dict[str, date]:
    return {name: max(days[name] for days in (one, other) if name in days) for name in sorted({*one, *other})}
