"""Legal holds: rows that retention must not delete. What is held behind a horizon is kept, but not readable."""

from collections.abc import Sequence
from datetime import date
from typing import Self

from pydantic import model_validator

from mmoe.errors import LakeError
from mmoe.lake import ledger
from mmoe.lake.manifest import canonical_digest, from_json, to_json
from mmoe.lake.partitions import RETENTION
from mmoe.lake.store import Store
from mmoe.parsing import Frozen

HOLDS_KEY = f"{RETENTION}/holds.json"
HOLDS_LOCK = "holds"


class Hold(Frozen):
    """A range of days, or one view type's rows of them, that somebody answers for."""

    first: date
    last: date
    view_type: str | None = None
    """None: every copy of the days. Otherwise only rows of this view type, in the lake and the landing zone."""
    owner: str
    reason: str
    """Stays here: neither ledger nor plan repeats it."""
    until: date
    """Last as-of date on which it still blocks."""
    added_by: str
    ended_by: str | None = None

    @model_validator(mode="after")
    def _is_answered_for(self) -> Self:
        for name in ("owner", "reason", "added_by"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name}: must not be empty")
        if self.last < self.first:
            raise ValueError(f"last={self.last}: lies before first={self.first}")
        return self

    @property
    def id(self) -> str:
        """By content, so that adding the same hold twice makes one."""
        return canonical_digest(self.model_dump(mode="json", exclude={"ended_by"}))[:10]

    def active(self, as_of: date) -> bool:
        return self.ended_by is None and as_of <= self.until

    def covers(self, day: date, view_type: str | None = None) -> bool:
        """Whether it keeps the day's rows of a view type; without one, every copy of the day."""
        return self.first <= day <= self.last and self.view_type in (None, view_type)

    @property
    def stated(self) -> ledger.HoldTerms:
        return ledger.HoldTerms(
            id=self.id, first=self.first, last=self.last, view_type=self.view_type, owner=self.owner, until=self.until
        )


class Holds(Frozen):
    holds: tuple[Hold, ...]


def read_holds(store: Store) -> tuple[Hold, ...]:
    """All that were ever added, ended ones included, in order. Raises CorruptionError."""
    content = store.read_bytes(HOLDS_KEY)
    fix = "restore it from a backup; nothing expires until then"
    return from_json(Holds, content, HOLDS_KEY, fix).holds if content is not None else ()


def active_holds(store: Store, as_of: date) -> tuple[Hold, ...]:
    return tuple(hold for hold in read_holds(store) if hold.active(as_of))


def held_whole(holds: Sequence[Hold], day: date) -> bool:
    """Whether one of them keeps every copy of the day."""
    return any(hold.covers(day) for hold in holds)


def add_hold(store: Store, hold: Hold) -> Hold:
    """Keep what the hold covers from the next retention run on. Raises LakeError if the same hold has been ended."""
    with store.lock(HOLDS_LOCK):
        known = read_holds(store)
        same = next((each for each in known if each.id == hold.id), None)
        if same is not None and same.ended_by is not None:
            raise LakeError(f"hold {hold.id}: was ended by {same.ended_by}; add one with a reason of its own.")
        if same is None:
            store.write_bytes(HOLDS_KEY, to_json(Holds(holds=(*known, hold))))
        _state_once(store, ledger.Statement(kind="hold", hold=hold.stated, actor=hold.added_by))
    return hold


def end_hold(store: Store, hold_id: str, actor: str) -> Hold:
    """End a hold: the next retention run may delete what it kept. Ending it again changes nothing.

    Raises LakeError when there is no such hold.
    """
    with store.lock(HOLDS_LOCK):
        known = read_holds(store)
        found = next((each for each in known if each.id == hold_id), None)
        if found is None:
            ids = ", ".join(each.id for each in known) or "none"
            raise LakeError(f"hold {hold_id!r}: no such hold; there are: {ids}. `mmoe hold list` shows them.")
        if found.ended_by is None:
            found = found.model_copy(update={"ended_by": actor})
            changed = tuple(found if each.id == hold_id else each for each in known)
            store.write_bytes(HOLDS_KEY, to_json(Holds(holds=changed)))
        _state_once(store, ledger.Statement(kind="release", hold=found.stated, actor=found.ended_by))
    return found


def _state_once(store: Store, statement: ledger.Statement) -> None:
    """A call that was killed between its two writes is completed by the same call."""
    if all(entry.statement != statement for entry in ledger.entries(store)):
        ledger.append(store, statement)
