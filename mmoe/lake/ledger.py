"""The retention ledger: hash-chained JSON lines that say what was expired. Counts and digests only."""

import json
from datetime import date
from typing import Literal

from pydantic import ValidationError

from mmoe.errors import CorruptionError
from mmoe.lake.manifest import canonical_digest
from mmoe.lake.partitions import ENGAGEMENT, RETENTION
from mmoe.lake.store import Store
from mmoe.parsing import Frozen

LEDGER_KEY = f"{RETENTION}/ledger.jsonl"
BEGINNING = "0" * 64


class Expired(Frozen):
    """All copies of one kind that a day had."""

    kind: str
    """engagement, landing, quarantine, scores, validation or staging."""
    day: date
    files: int
    bytes: int
    rows: int | None = None
    """Known for engagement partitions."""
    digest: str | None = None
    """The manifest's, for engagement partitions."""


class Statement(Frozen):
    """What an entry says."""

    kind: Literal["expired", "hold", "release"]
    as_of: date | None = None
    horizon: date | None = None
    day: date | None = None
    """The day held or released."""
    items: tuple[Expired, ...] = ()


class Entry(Frozen):
    sequence: int
    previous: str
    statement: Statement
    hash: str
    """sha256 over sequence, previous and statement."""


def append(store: Store, statement: Statement) -> Entry:
    """Add an entry, unless the last one states the same. Raises CorruptionError on a broken chain."""
    with store.lock("ledger"):
        chain = entries(store)
        broken = verify(chain)
        if broken:
            raise CorruptionError(f"{LEDGER_KEY}: {broken[0]} Restore the ledger before anything is expired.")
        if chain and chain[-1].statement == statement:
            return chain[-1]
        entry = _linked(len(chain), chain[-1].hash if chain else BEGINNING, statement)
        store.write_bytes(LEDGER_KEY, b"".join(_line(each) for each in (*chain, entry)))
        return entry


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
    return sorted({item.day for item in items if item.kind == ENGAGEMENT})


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


def _linked(sequence: int, previous: str, statement: Statement) -> Entry:
    content = {"sequence": sequence, "previous": previous, "statement": statement.model_dump(mode="json")}
    return Entry(sequence=sequence, previous=previous, statement=statement, hash=canonical_digest(content))


def _line(entry: Entry) -> bytes:
    return json.dumps(entry.model_dump(mode="json"), sort_keys=True).encode() + b"\n"
