"""The retention ledger: hash-chained JSON lines that say what was expired. Counts and digests only."""

import json
from datetime import date
from typing import Any, Literal

from pydantic import Field, ValidationError

from mmoe.errors import CorruptionError, LakeError
from mmoe.lake.manifest import canonical_digest, from_json, to_json
from mmoe.lake.partitions import ENGAGEMENT, RETENTION
from mmoe.lake.store import Store
from mmoe.parsing import Frozen

LEDGER_KEY = f"{RETENTION}/ledger.jsonl"
HEAD_KEY = f"{RETENTION}/ledger-head.json"
"""Where the chain ends: without it, entries cut off at the end would not be missed."""
BEGINNING = "0" * 64


class FileDigest(Frozen):
    bytes: int
    sha256: str


class Expired(Frozen):
    """What a day had of one kind: all its copies, or only the rows and labels that are named."""

    kind: str
    """engagement, landing, quarantine, scores, validation, staging, or the name of another store."""
    day: date
    files: int
    bytes: int
    rows: int | None = None
    """Rows removed, where they are known."""
    digest: str | None = None
    """The manifest's, for engagement partitions."""
    contents: tuple[FileDigest, ...] = ()
    """Raw and published files of the day, so that a copy under any other name is known again."""
    part: bool = False
    """Only some rows or labels went; the rest of the day stays."""
    view_types: tuple[str, ...] = ()
    """Those of the rows that went."""
    labels: tuple[str, ...] = ()
    """Those that became null in rows that stay."""


class HoldTerms(Frozen):
    """A legal hold without its reason."""

    id: str
    first: date
    last: date
    view_type: str | None
    owner: str
    until: date


class Statement(Frozen):
    """What an entry says."""

    kind: Literal["expired", "hold", "release"]
    as_of: date | None = None
    horizon: date | None = None
    """First readable day from then on."""
    view_types: dict[str, date] = Field(default_factory=dict)
    """That of view types with a horizon of their own."""
    labels: dict[str, date] = Field(default_factory=dict)
    """First day on which a label may still be known."""
    day: date | None = None
    """The day held or released, in entries from before holds had terms."""
    hold: HoldTerms | None = None
    """The hold added or ended."""
    actor: str | None = None
    """Who added or ended it, or confirmed a deletion above the cap."""
    items: tuple[Expired, ...] = ()

    @property
    def rows(self) -> int:
        """Of published partitions."""
        return sum(item.rows or 0 for item in self.items if item.kind == ENGAGEMENT)


class Entry(Frozen):
    sequence: int
    previous: str
    statement: Statement
    hash: str
    """sha256 over sequence, previous and statement."""


class Head(Frozen):
    sequence: int
    hash: str


def append(store: Store, statement: Statement) -> Entry:
    """Add an entry, unless the last one states the same. Raises CorruptionError on a broken chain."""
    with store.lock("ledger"):
        before = store.read_bytes(LEDGER_KEY)
        chain = whole_chain(store)
        if chain and chain[-1].statement == statement:
            return chain[-1]
        entry = _linked(len(chain), chain[-1].hash if chain else BEGINNING, statement)
        if not store.swap_bytes(LEDGER_KEY, before, b"".join(_line(each) for each in (*chain, entry))):
            raise LakeError(f"{LEDGER_KEY}: somebody else wrote it meanwhile; run the command again.")
        _write_head(store, entry)
        return entry


def whole_chain(store: Store) -> list[Entry]:
    """Every entry, oldest first. Raises CorruptionError when the chain is broken or its end is missing."""
    chain = entries(store)
    broken = [*verify(chain), *cut_off(store, chain)]
    if broken:
        raise CorruptionError(f"{LEDGER_KEY}: {broken[0]} Restore the ledger before anything is expired.")
    return chain


def settle(store: Store) -> list[Entry]:
    """`whole_chain`, after completing an append that was killed before it noted the chain's end."""
    with store.lock("ledger"):
        chain = whole_chain(store)
        if chain:
            _write_head(store, chain[-1])
        return chain


def cut_off(store: Store, chain: list[Entry]) -> list[str]:
    """One sentence if the chain ends before, or differs at, the entry that was last known to be its end."""
    content = store.read_bytes(HEAD_KEY)
    if content is None:
        return []
    head = from_json(Head, content, HEAD_KEY, "restore it together with the ledger")
    if len(chain) <= head.sequence:
        return [f"It ends after {len(chain)} entries, but entry {head.sequence} had been written."]
    if chain[head.sequence].hash != head.hash:
        return [f"Entry {head.sequence} is another one than was written."]
    return []


def entries(store: Store) -> list[Entry]:
    """Every entry, oldest first. Raises CorruptionError for a line that is no entry."""
    lines = (store.read_bytes(LEDGER_KEY) or b"").splitlines()
    chain = []
    for number, line in enumerate(lines, start=1):
        try:
            chain.append(Entry.model_validate_json(line))
        except ValidationError:
            raise CorruptionError(f"{LEDGER_KEY}: line {number} is no ledger entry; restore the ledger.") from None
    return chain


def expired_days(store: Store) -> list[date]:
    """Days whose partition the ledger states as deleted, oldest first. Raises CorruptionError as `entries` does."""
    items = [item for entry in entries(store) for item in entry.statement.items]
    return sorted({item.day for item in items if item.kind == ENGAGEMENT and not item.part})


def verify(chain: list[Entry]) -> list[str]:
    """What breaks the hash chain, one sentence each; empty when it is whole."""
    problems = []
    previous = BEGINNING
    for number, entry in enumerate(chain):
        if entry.sequence != number:
            problems.append(f"Entry {number} has the sequence number {entry.sequence}.")
        if entry.previous != previous:
            problems.append(f"Entry {number} does not follow the one before it.")
        if entry != _linked(entry.sequence, entry.previous, entry.statement):
            problems.append(f"Entry {number} is not what its hash says.")
        previous = entry.hash
    return problems


def _write_head(store: Store, entry: Entry) -> None:
    head = to_json(Head(sequence=entry.sequence, hash=entry.hash))
    if store.read_bytes(HEAD_KEY) != head:
        store.write_bytes(HEAD_KEY, head)


def _linked(sequence: int, previous: str, statement: Statement) -> Entry:
    content = {"sequence": sequence, "previous": previous, "statement": _stated(statement)}
    return Entry(sequence=sequence, previous=previous, statement=statement, hash=canonical_digest(content))


def _line(entry: Entry) -> bytes:
    content = entry.model_dump(mode="json") | {"statement": _stated(entry.statement)}
    return json.dumps(content, sort_keys=True).encode() + b"\n"


def _stated(statement: Statement) -> dict[str, Any]:
    """Only what was set, so that an entry keeps its hash when later versions add fields."""
    return statement.model_dump(mode="json", exclude_unset=True)
