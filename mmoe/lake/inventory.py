"""Every stored copy of a day's data, wherever it lies: what retention plans over, deletes and lists again."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import NamedTuple

from mmoe.errors import CorruptionError
from mmoe.lake.ledger import Expired
from mmoe.lake.manifest import Manifest, from_json
from mmoe.lake.partitions import ENGAGEMENT, day_of, manifest_key
from mmoe.lake.store import Store, StoredCopy, remove_empty_folders

LANDING = "landing"


class Copy(NamedTuple):
    """One file that holds, or describes, rows of a day."""

    kind: str
    day: date
    key: str
    """Below the lake's root; for landing files, below the landing zone."""
    size: int
    stored: StoredCopy | None
    """What the lake's store knows it by; None for landing files."""


def take_inventory(store: Store, landing: Path) -> list[Copy]:
    """List anew everything that belongs to a day, unfinished writes included."""
    copies = []
    for stored in store.copies(""):
        day = day_of(stored.key)
        if day is not None:
            copies.append(Copy(stored.key.split("/")[0].lstrip("_"), day, stored.key, stored.size, stored))
    for path in sorted(landing.rglob("*")):
        key = path.relative_to(landing).as_posix()
        day = day_of(key)
        if day is not None and (path.is_file() or path.is_symlink()):
            copies.append(Copy(LANDING, day, key, path.lstat().st_size, None))
    return copies


def summarise(store: Store, copies: Iterable[Copy]) -> tuple[Expired, ...]:
    """Counts per kind and day, with rows and digest where a manifest states them."""
    groups: dict[tuple[str, date], list[Copy]] = {}
    for copy in copies:
        groups.setdefault((copy.kind, copy.day), []).append(copy)
    return tuple(_summary(store, kind, day, group) for (kind, day), group in sorted(groups.items()))


def delete_copies(store: Store, landing: Path, copies: Iterable[Copy]) -> None:
    """Delete them all, manifests first: a partition ceases to exist before its files do."""
    ordered = sorted(copies, key=lambda copy: copy.key != manifest_key(copy.day))
    store.purge(copy.stored for copy in ordered if copy.stored)
    for copy in ordered:
        if copy.stored is None:
            path = landing / copy.key
            path.unlink(missing_ok=True)
            remove_empty_folders(path.parent, landing)


def _summary(store: Store, kind: str, day: date, copies: list[Copy]) -> Expired:
    manifest = _manifest(store, day) if kind == ENGAGEMENT else None
    return Expired(
        kind=kind,
        day=day,
        files=len(copies),
        bytes=sum(copy.size for copy in copies),
        rows=manifest.rows if manifest else None,
        digest=manifest.digest if manifest else None,
    )


def _manifest(store: Store, day: date) -> Manifest | None:
    """The manifest whether or not the day has expired; a damaged one must not keep a day from being deleted."""
    content = store.read_bytes(manifest_key(day))
    try:
        return from_json(Manifest, content, manifest_key(day)) if content is not None else None
    except CorruptionError:
        return None
