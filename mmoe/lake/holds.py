"""Legal holds: days that retention must not delete. A held day behind the horizon is kept, but not readable."""

from datetime import date

from mmoe.lake import ledger
from mmoe.lake.manifest import from_json, to_json
from mmoe.lake.partitions import RETENTION
from mmoe.lake.store import Store
from mmoe.parsing import Frozen

HOLDS_KEY = f"{RETENTION}/holds.json"


class Holds(Frozen):
    days: dict[date, str]
    """Why each day is held."""


def read_holds(store: Store) -> dict[date, str]:
    content = store.read_bytes(HOLDS_KEY)
    return from_json(Holds, content, HOLDS_KEY).days if content is not None else {}


def hold(store: Store, day: date, reason: str) -> None:
    """Keep every copy of the day until it is released. The ledger states that, without the reason."""
    with store.lock("holds"):
        store.write_bytes(HOLDS_KEY, to_json(Holds(days=read_holds(store) | {day: reason})))
        ledger.append(store, ledger.Statement(kind="hold", day=day))


def release(store: Store, day: date) -> None:
    """End the hold; the next retention run may delete the day."""
    with store.lock("holds"):
        days = {held: reason for held, reason in read_holds(store).items() if held != day}
        store.write_bytes(HOLDS_KEY, to_json(Holds(days=days)))
        ledger.append(store, ledger.Statement(kind="release", day=day))
