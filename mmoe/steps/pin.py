"""A pinned window: the days an experiment may use, by their manifests' digests, and the champion it starts from.

It lies in the lake under its own digest, as `windows/DIGEST.json`, and holds no row; DVC's dataset `window` names it.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from mmoe.errors import ConfigError, CorruptionError, PartitionExpiredError, PartitionMissingError, TrainingError
from mmoe.lake.horizon import read_horizon
from mmoe.lake.ledger import Entry, entries
from mmoe.lake.manifest import canonical_digest, from_json, to_json
from mmoe.lake.partitions import ENGAGEMENT
from mmoe.lake.reader import read_manifest
from mmoe.lake.store import Store
from mmoe.parsing import Frozen, read_yaml
from mmoe.steps.plan import DayRef, ModelRef, Original

WINDOWS, DATASET = "windows", "window"


class Pin(Frozen):
    format: Literal[1] = 1
    kind: Literal["bootstrap", "batch", "incremental"]
    as_of: date
    schema_fingerprint: str
    champion: ModelRef | None
    days: tuple[DayRef, ...] = Field(strict=False, min_length=1)
    """Oldest first. A batch experiment chooses among them by params.yaml's window; others train on all of them."""
    profile: str | None
    original: Original | None = None

    @property
    def digest(self) -> str:
        return canonical_digest(self.model_dump(mode="json"))

    def save(self, store: Store) -> str:
        """The key it lies at."""
        key, content = pin_key(self.digest), to_json(self)
        if store.read_bytes(key) != content:
            store.write_bytes(key, content)
        return key


def pin_key(digest: str) -> str:
    return f"{WINDOWS}/{digest}.json"


def load_pin(store: Store, digest: str) -> Pin:
    """Raises PartitionMissingError if it is not in this lake, CorruptionError if it was changed."""
    content = store.read_bytes(pin_key(digest))
    if content is None:
        raise PartitionMissingError(f"{pin_key(digest)}: not in this lake; pin a window with `mmoe pin`.")
    pin = from_json(Pin, content, pin_key(digest))
    if pin.digest != digest:
        raise CorruptionError(f"{pin_key(digest)}: its content has digest {pin.digest[:12]}; pin the window again.")
    return pin


def pinned_digest(lockfile: Path) -> str:
    """The digest that dvc.lock's dataset `window` names. Raises ConfigError if there is none."""
    datasets = read_yaml(lockfile, ConfigError).get("datasets", [])
    url = next((str(dataset["url"]) for dataset in datasets if dataset["name"] == DATASET), None)
    if url is None:
        raise ConfigError(f"{lockfile}: has no dataset {DATASET!r}; pin a window with `mmoe pin`.")
    return Path(url).stem


def refuse_changed(store: Store, days: Sequence[DayRef], what: str) -> None:
    """Raises PartitionExpiredError, saying when and why, if any of the days has expired; PartitionMissingError if one
    is not published; TrainingError if one was published anew."""
    horizon = read_horizon(store)
    expired = [ref.day for ref in days if horizon is not None and ref.day < horizon]
    if expired:
        raise PartitionExpiredError(
            f"{what} can never be used again: {len(expired)} of its {len(days)} days are behind the retention horizon "
            f"{horizon} ({obituary(entries(store), expired)}). Retention deletes rows for good: by policy no training "
            "can be repeated on them."
        )
    for ref in days:
        found = read_manifest(store, ref.day).digest
        if found != ref.digest:
            refuse_shortened(store, ref.day, what)
            raise TrainingError(
                f"{what} can no longer be used: {ref.day} was published anew since (manifest {ref.digest[:12]}, now "
                f"{found[:12]}), and a lake keeps one version of a day. Pin the window again to use the new rows."
            )


def refuse_shortened(store: Store, day: date, what: str) -> None:
    """Raises PartitionExpiredError if rows or labels of the day have expired before the rest of it."""
    for entry in entries(store):
        if any(item.kind == ENGAGEMENT and item.day == day and item.part for item in entry.statement.items):
            raise PartitionExpiredError(
                f"{what} can never be used again: a part of {day} has expired (ledger entry {entry.sequence}, "
                f"{entry.hash[:12]}, as of {entry.statement.as_of}). By policy no training can be repeated on it."
            )


def obituary(chain: Sequence[Entry], days: Sequence[date]) -> str:
    """Which ledger entry states the end of which days."""
    told = []
    for entry in chain:
        gone = {item.day for item in entry.statement.items if item.kind == ENGAGEMENT and not item.part}
        mine = [str(day) for day in days if day in gone]
        if mine:
            told.append(f"{', '.join(mine)}: ledger entry {entry.sequence} ({entry.hash[:12]}) as of "
                        f"{entry.statement.as_of}")  # fmt: skip
    return "; ".join(told) or "held or not deleted yet"
