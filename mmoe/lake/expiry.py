"""Which copies go, which are rewritten, and which stay: pure decisions over listings, horizons and holds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import NamedTuple, Protocol

from mmoe.lake.contents import Contents, Place
from mmoe.lake.holders import LAKE, LANDING, LATE, Copy
from mmoe.lake.holds import Hold, held_whole
from mmoe.lake.horizon import Horizon
from mmoe.lake.partitions import ENGAGEMENT, manifest_key


class Look(Protocol):
    def __call__(self, copy: Copy, *, whole: bool = False) -> Contents | None:
        """What a current copy holds; None: no rows of the log. `whole`: all of it must be readable."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    horizon: Horizon
    holds: tuple[Hold, ...]
    """Those that block on the as-of date."""
    late_days: int
    """Landing folders hold rows of up to so many days before their own."""
    as_of: date = date.max
    """A landing folder dated more than a day later is misdated."""
    strays: frozenset[str] = frozenset()
    """Keys of landing files that may hold rows of any other day."""

    def keeps_every_copy(self, day: date) -> bool:
        return held_whole(self.holds, day)

    def expires_whole(self, day: date) -> bool:
        """Behind the horizon, and no hold keeps a part of it."""
        return day < self.horizon.day and not any(hold.first <= day <= hold.last for hold in self.holds)

    def looks_into(self, copy: Copy) -> bool:
        """Whether a part of the copy could have to go."""
        if copy.day is None:
            return False
        late = self.late_days if copy.holder == LANDING else 0
        stray = copy.holder == LANDING and copy.key in self.strays
        return stray or copy.day < self.horizon.newest + timedelta(days=late)

    def newest_day(self, copy: Copy) -> date:
        """The newest day whose rows a file may hold that nobody can look into."""
        return told_day(copy, self.as_of)

    def misdated(self, copy: Copy) -> bool:
        return is_misdated(copy, self.as_of)

    def removes_unseen(self, copy: Copy) -> bool:
        """Whether a file goes that nobody can look into: nothing shows that it holds no row that must."""
        newest = self.newest_day(copy)
        return newest < self.horizon.newest and not self._held(newest, None) and not self.may_be_held(copy)

    def may_be_held(self, copy: Copy) -> bool:
        """A file that may hold rows of any earlier day may hold those that a hold keeps."""
        any_day = copy.guessed or self.misdated(copy)
        return any_day and any(hold.first <= self.newest_day(copy) for hold in self.holds)

    def removes(self, place: Place) -> bool:
        day, view_type = place
        return day is not None and self.horizon.hides(day, view_type) and not self._held(day, view_type)

    def masks(self, place: Place, label: str) -> bool:
        day, view_type = place
        return day is not None and self.horizon.masks(day, label) and not self._held(day, view_type)

    def _held(self, day: date, view_type: str | None) -> bool:
        """A row of no known view type may be one of those that a hold keeps."""
        on_day = [hold for hold in self.holds if hold.first <= day <= hold.last]
        return bool(on_day) if view_type is None else any(hold.covers(day, view_type) for hold in on_day)

    def removal(self, contents: Contents) -> "Removal":
        gone = {place: count for place, count in contents.rows.items() if count and self.removes(place)}
        masked = {
            label
            for (day, view_type, label), count in contents.labels.items()
            if count and (day, view_type) not in gone and self.masks((day, view_type), label)
        }
        return Removal(
            rows=sum(gone.values()),
            stay=contents.rows.total() - sum(gone.values()),
            view_types=tuple(sorted({view_type for _, view_type in gone if view_type is not None})),
            labels=tuple(sorted(masked)),
        )


def is_misdated(copy: Copy, as_of: date) -> bool:
    """Whether it lies in a landing folder that is dated in the future: no such name may keep rows."""
    return copy.holder == LANDING and copy.day is not None and (copy.day - as_of).days > 1


def told_day(copy: Copy, as_of: date) -> date:
    """The day of rows that tell none: that of their place, or of a misdated file's writing."""
    return copy.written if is_misdated(copy, as_of) and copy.written is not None else _day(copy)


class Removal(NamedTuple):
    """What of a copy must go."""

    rows: int
    stay: int
    """Rows that stay."""
    view_types: tuple[str, ...]
    labels: tuple[str, ...]
    """Labels that become null in rows that stay."""

    @property
    def anything(self) -> bool:
        return self.rows > 0 or bool(self.labels)


class Action(NamedTuple):
    """A copy that goes, or that is rewritten without what must go."""

    copy: Copy
    removal: Removal | None = None
    """What a rewrite leaves out; None: the whole copy goes."""


def decide(copies: Iterable[Copy], rules: Rules, look: Look) -> list[Action]:
    """What is to be done with them, in their order. Copies of no known day are left alone."""
    dated = sorted((copy for copy in copies if copy.day is not None), key=_group)
    actions: list[Action] = []
    for (holder, kind, day), group in groupby(dated, key=_group):
        members = list(group)
        if rules.keeps_every_copy(day):
            continue
        if rules.expires_whole(day):
            actions += [Action(copy) for copy in members if not rules.may_be_held(copy)]
        elif (holder, kind) == (LAKE, ENGAGEMENT):
            actions += _of_partition(members, rules, look)
        else:
            actions += [action for copy in members for action in _of_copy(copy, rules, look)]
    return actions


def _of_partition(members: Sequence[Copy], rules: Rules, look: Look) -> Iterator[Action]:
    """A published day is rewritten as a whole; what is not part of it goes like any other copy."""
    if not rules.looks_into(members[0]):
        return
    published = any(copy.current and copy.key == manifest_key(_day(copy)) for copy in members)
    if not published:
        for copy in members:
            yield from _of_copy(copy, rules, look)
        return
    removals = {copy.key: rules.removal(found) for copy in members if (found := _rows_of(copy, look)) is not None}
    changes = any(removal.anything for removal in removals.values())
    stays = any(removal.stay for removal in removals.values())
    for copy in members:
        removal = removals.get(copy.key) if copy.current else None
        if changes and not stays:
            yield Action(copy)
        elif removal is not None and removal.anything:
            yield Action(copy, removal)
        elif not copy.current and (changes or _is_past(copy)):
            yield Action(copy)


def _of_copy(copy: Copy, rules: Rules, look: Look) -> Iterator[Action]:
    """A source of rows is rewritten; any other copy with something that must go, goes."""
    if not rules.looks_into(copy):
        return
    behind = _day(copy) < rules.horizon.day
    if not copy.current:
        if behind or _is_past(copy):
            yield Action(copy)
        return
    if behind and not rewritable(copy):
        yield Action(copy)
        return
    contents = look(copy)
    if contents is None and (copy.holder != LANDING or not copy.size):
        return
    if contents is None or not contents.readable:
        if rules.removes_unseen(copy):
            yield Action(copy)
        return
    removal = rules.removal(contents)
    if not removal.anything:
        return
    if not (rewritable(copy) and removal.stay):
        yield Action(copy)
    elif not _is_spoilt(copy, look):
        yield Action(copy, removal)
    elif rules.removes_unseen(copy):
        yield Action(copy)


def unseen(copies: Iterable[Copy], rules: Rules, look: Look) -> list[Copy]:
    """Landing files that stay although nothing that can be read shows of which days their rows are."""
    found = []
    for copy in copies:
        if copy.holder != LANDING or copy.day is None or not copy.size or not rules.looks_into(copy):
            continue
        contents = look(copy)
        if copy.guessed or contents is None or not contents.readable or is_behind(copy, rules, look):
            found.append(copy)
    gone = {action.copy for action in decide(found, rules, look)}
    return [copy for copy in found if copy not in gone]


def is_behind(copy: Copy, rules: Rules, look: Look) -> bool:
    """Whether a landing file is seen to hold what must go, but is damaged, so that it cannot be taken out of it."""
    contents = look(copy)
    return contents is not None and contents.readable and rules.removal(contents).anything and _is_spoilt(copy, look)


def _is_spoilt(copy: Copy, look: Look) -> bool:
    """A landing file of which some column cannot be read: nobody can ingest or rewrite it."""
    whole = look(copy, whole=True) if copy.holder == LANDING else None
    return whole is not None and not whole.readable


def _rows_of(copy: Copy, look: Look) -> Contents | None:
    return look(copy) if copy.current and copy.key != manifest_key(_day(copy)) else None


def rewritable(copy: Copy) -> bool:
    """Whether it is a source of rows that stay: a raw file, or late rows that wait for their day in the lake."""
    return copy.holder == LANDING or (copy.holder, copy.kind) == (LAKE, LATE)


def _is_past(copy: Copy) -> bool:
    """A past version or a delete marker: what it holds cannot be rewritten."""
    return copy.stored is not None and copy.stored.kind in ("version", "marker")


def _day(copy: Copy) -> date:
    assert copy.day is not None  # noqa: S101  # decide() leaves the others out
    return copy.day


def _group(copy: Copy) -> tuple[str, str, date]:
    return copy.holder, copy.kind, _day(copy)
