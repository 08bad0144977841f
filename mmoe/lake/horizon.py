"""The retention horizon: the first day that may still be read. It only ever moves forward."""

from datetime import date

from mmoe.lake.manifest import from_json, to_json
from mmoe.lake.partitions import HORIZON_KEY
from mmoe.lake.store import Store
from mmoe.parsing import Frozen


class Horizon(Frozen):
    day: date


def read_horizon(store: Store) -> date | None:
    """The first readable day; None before the first retention run."""
    content = store.read_bytes(HORIZON_KEY)
    return from_json(Horizon, content, HORIZON_KEY).day if content is not None else None


def advance_horizon(store: Store, day: date) -> date:
    """Move the horizon to `day` unless it is there or further already; returns where it is now."""
    current = read_horizon(store)
    if current is None or day > current:
        store.write_bytes(HORIZON_KEY, to_json(Horizon(day=day)))
        return day
    return current
