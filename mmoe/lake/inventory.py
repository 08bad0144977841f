"""Every stored copy of a day's data in every registered holder, and what the ledger states about them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

from mmoe.errors import CorruptionError
from mmoe.lake import ledger
from mmoe.lake.contents import Contents, inspect
from mmoe.lake.expiry import Action, Look, Rules, told_day
from mmoe.lake.holders import LAKE, LANDING, Copy, FolderHolder, Holder, Known
from mmoe.lake.holds import Hold
from mmoe.lake.horizon import Horizon
from mmoe.lake.ledger import Expired, FileDigest
from mmoe.lake.manifest import DataFile, Manifest, SourceFile, from_json
from mmoe.lake.partitions import ENGAGEMENT, manifest_key
from mmoe.lake.reader import stored_days
from mmoe.lake.store import Store
from mmoe.schema import Schema


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The lake, and all that retention and audit walk."""

    store: Store
    schema: Schema
    landing: FolderHolder
    holders: tuple[Holder, ...]
    """The lake first, local copies of its objects last: looking into the lake may make such copies."""

    def holder(self, name: str) -> Holder:
        return next(holder for holder in self.holders if holder.name == name)


def take_inventory(stores: Stores, chain: Iterable[ledger.Entry]) -> list[Copy]:
    """List every holder anew. The ledger's entries tell which files are copies of expired ones."""
    known = known_files(stores.store, chain)
    return [copy for holder in stores.holders for copy in holder.copies(known)]


def known_files(store: Store, chain: Iterable[ledger.Entry]) -> Known:
    """Files that manifests and ledger name: a copy of one is recognised under any name."""
    known: Known = {}
    for entry in chain:
        for item in entry.statement.items:
            for file in item.contents:
                known.setdefault(file.bytes, {})[file.sha256] = item.day
    for manifest in manifests(store).values():
        for file in _contents(manifest):
            known.setdefault(file.bytes, {})[file.sha256] = manifest.day
    return known


def manifests(store: Store) -> dict[date, Manifest]:
    """Of every day that has one, readable or not. A damaged one is left out: it must not keep a day from going."""
    found = {day: _manifest(store, day) for day in stored_days(store)}
    return {day: manifest for day, manifest in found.items() if manifest is not None}


def rules_of(
    stores: Stores, copies: Iterable[Copy], found: dict[date, Manifest], horizon: Horizon, holds: tuple[Hold, ...],
    as_of: date,
) -> Rules:  # fmt: skip
    """Rows that ingest refused, for their day lay too far back, are in the landing zone all the same: files are looked
    into that no published day was made of, and those of days that refused some."""
    landed = [copy for copy in copies if copy.holder == LANDING]
    strays = frozenset(copy.key for copy in landed if not (copy.day and _is_accounted_for(copy, found.get(copy.day))))
    late_days = stores.schema.source.late_days
    return Rules(horizon=horizon, holds=holds, late_days=late_days, as_of=as_of, strays=strays)


def _is_accounted_for(copy: Copy, manifest: Manifest | None) -> bool:
    if manifest is None or manifest.counts.get("refused_rows"):
        return False
    return any(copy.key == f"dt={manifest.day}/{each.name}" and copy.size == each.bytes for each in manifest.sources)


def looking_into(stores: Stores, as_of: date) -> Look:
    """A look at what current copies hold; each is read once, and once more as a whole where that is asked."""
    seen: dict[tuple[str, str, bool], Contents | None] = {}

    def look(copy: Copy, *, whole: bool = False) -> Contents | None:
        place = (copy.holder, copy.key, whole)
        if place not in seen:
            whole_day = copy.holder == LAKE and copy.kind == ENGAGEMENT
            try:
                path = stores.holder(copy.holder).local(copy)
                day = copy.day and told_day(copy, as_of)
                looked = partial(inspect, path, stores.schema, day, own_days=not whole_day, whole=whole)
                seen[place] = None if path.is_symlink() else looked()
            except FileNotFoundError:  # gone since it was listed
                seen[place] = None
        return seen[place]

    return look


def summarise(actions: Sequence[Action], found: dict[date, Manifest]) -> tuple[Expired, ...]:
    """Counts by kind and day, whole copies and rewritten ones apart; rows and digests where they are known."""
    groups: dict[tuple[str, date, bool], list[Action]] = {}
    for action in actions:
        if action.copy.day is not None:
            part = action.removal is not None
            groups.setdefault((action.copy.kind, action.copy.day, part), []).append(action)
    return tuple(_summary(kind, day, part, group, found) for (kind, day, part), group in sorted(groups.items()))


def _summary(kind: str, day: date, part: bool, group: Iterable[Action], found: dict[date, Manifest]) -> Expired:
    members = list(group)
    removals = [action.removal for action in members if action.removal is not None]
    manifest = found.get(day) if kind == ENGAGEMENT else None
    rows = sum(removal.rows for removal in removals) if part else manifest.rows if manifest else None
    return Expired(
        kind=kind,
        day=day,
        files=len(members),
        bytes=sum(action.copy.size for action in members),
        rows=rows,
        digest=manifest.digest if manifest else None,
        contents=tuple(_contents(manifest)) if manifest else (),
        part=part,
        view_types=tuple(sorted({name for removal in removals for name in removal.view_types})),
        labels=tuple(sorted({name for removal in removals for name in removal.labels})),
    )


def _contents(manifest: Manifest) -> Iterable[FileDigest]:
    files: list[DataFile | SourceFile] = [*manifest.files, *manifest.sources]
    for file in files:
        yield FileDigest(bytes=file.bytes, sha256=file.sha256)


def _manifest(store: Store, day: date) -> Manifest | None:
    content = store.read_bytes(manifest_key(day))
    try:
        return from_json(Manifest, content, manifest_key(day)) if content is not None else None
    except CorruptionError:
        return None
