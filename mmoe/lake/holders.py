"""Whatever may hold a copy of a day's rows, behind one small protocol: list, delete exactly these, list again."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from mmoe.errors import LakeError
from mmoe.lake.contents import inspect
from mmoe.lake.files import TABLES, printable
from mmoe.lake.manifest import file_digest
from mmoe.lake.partitions import RETENTION, day_of, manifest_key
from mmoe.lake.store import Store, StoredCopy, remove_empty_folders
from mmoe.schema import Schema

LAKE, LANDING, LATE = "lake", "landing", "late"
ROW_NAME = re.compile(r"\.(parquet|pq|arrow|feather|csv|tsv|json|jsonl|ndjson)(\.(gz|bz2|zst))?$", re.IGNORECASE)
Known = dict[int, dict[str, date]]
"""Size -> sha256 -> day of files that are known to hold a day's rows."""


class Copy(NamedTuple):
    """One file, object, version or unfinished write that holds, or describes, rows of a day."""

    holder: str
    kind: str
    """What part of its holder it lies in: engagement, scores, landing, work, …"""
    day: date | None
    """By its path, its digest or its oldest row. None: it holds rows, but nothing says of which day."""
    key: str
    """Below its holder's root."""
    size: int
    stored: StoredCopy | None = None
    written: date | None = None
    """When a local file was written: no row in it is younger."""
    guessed: bool = False
    """Nothing but the day on which it was written says of which day its rows are."""

    @property
    def current(self) -> bool:
        """Whether it is what readers see, rather than a past version or an unfinished write."""
        return self.stored is None or self.stored.kind == "object"


class Holder(Protocol):
    name: str
    where: str
    """Address, for a person."""

    def copies(self, known: Known) -> list[Copy]:
        """List anew every copy of a day's rows, unfinished writes and past versions included."""

    def delete(self, copies: Iterable[Copy]) -> None:
        """Remove exactly these for good; absent ones are no error. Tries all, then raises LakeError."""

    def local(self, copy: Copy) -> Path:
        """A local file with the bytes of a current copy. Raises FileNotFoundError when it is gone, LakeError when the
        store fails."""


class StoreHolder:
    """A store, with all versions, delete markers and unfinished uploads."""

    def __init__(self, name: str, where: str, store: Store, schema: Schema) -> None:
        self.name = name
        self.where = where
        self._store = store
        self._schema = schema

    def copies(self, known: Known) -> list[Copy]:
        found = []
        for stored in self._store.copies(""):
            day = day_of(stored.key)
            if day is None:
                holds_rows, day = self._inspected(stored, known)
                if not holds_rows:
                    continue
            kind = stored.key.split("/")[0].lstrip("_") if self.name == LAKE else self.name
            found.append(Copy(self.name, kind, day, stored.key, stored.size, stored))
        return found

    def delete(self, copies: Iterable[Copy]) -> None:
        """Manifests first: a partition ceases to exist before its files do."""
        chosen = list(copies)
        manifests = {manifest_key(copy.day) for copy in chosen if copy.day is not None}
        problems = []
        for first in (True, False):
            batch = [copy.stored for copy in chosen if copy.stored and (copy.key in manifests) == first]
            try:
                self._store.purge(batch)
            except LakeError as error:
                problems.append(str(error))
        if problems:
            raise LakeError(" ".join(problems))

    def local(self, copy: Copy) -> Path:
        try:
            return self._store.local_path(copy.key)
        except LakeError:
            if any(entry.key == copy.key for entry in self._store.list(copy.key)):
                raise
            raise FileNotFoundError(copy.key) from None

    def _inspected(self, stored: StoredCopy, known: Known) -> tuple[bool, date | None]:
        """Objects are only fetched where their size or name gives reason to."""
        if stored.kind != "object" or stored.key.startswith(f"{RETENTION}/") or not stored.size:
            return False, None
        if not ROW_NAME.search(stored.key) and stored.size not in known:
            return False, None
        try:
            has_rows, day = holds_rows(self._store.local_path(stored.key), self._schema, known)
        except LakeError:
            return True, None
        return bool(has_rows), day


class FolderHolder:
    """A local folder and all below it, without what is left to other holders.

    `rows_only`: a place for raw rows and side tables, where a file of any other form counts as one with rows.
    """

    def __init__(
        self, name: str, root: Path, schema: Schema, *, without: Collection[Path] = (), kind_by_folder: bool = False,
        rows_only: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self.where = str(root)
        self._root = root
        self._schema = schema
        self._without = {path for path in without if path != root}
        self._kind_by_folder = kind_by_folder
        self._rows_only = rows_only
        self._side_tables = {f"{TABLES}/{table.file}" for table in schema.source.tables}

    def copies(self, known: Known) -> list[Copy]:
        found = []
        for path in self._files():
            try:
                copy = self._copy(path, known)
            except FileNotFoundError:  # gone since the folder was listed
                continue
            if copy is not None:
                found.append(copy)
        return found

    def delete(self, copies: Iterable[Copy]) -> None:
        refused = []
        for copy in copies:
            path = self._root / copy.key
            try:
                path.unlink(missing_ok=True)
                remove_empty_folders(path.parent, self._root)
            except OSError as error:
                refused.append(f"{printable(copy.key)} ({error.strerror})")
        if refused:
            raise LakeError(f"{self.name} at {self._root} keeps what should go: {', '.join(refused)}.")

    def local(self, copy: Copy) -> Path:
        return self._root / copy.key

    def replace(self, copy: Copy, write: Callable[[Path], None]) -> None:
        """Put what `write` writes in the copy's place, whole or not at all. One process at a time. Raises LakeError."""
        path = self._root / copy.key
        aside = path.with_name(f".{path.name}.rewritten.tmp")
        try:
            write(aside)
            with aside.open("rb") as handle:
                os.fsync(handle.fileno())
            aside.replace(path)
        except OSError as error:
            raise LakeError(f"{self.name}: {printable(copy.key)} cannot be rewritten: {error.strerror}.") from error
        finally:
            aside.unlink(missing_ok=True)

    def _copy(self, path: Path, known: Known) -> Copy | None:
        """None for a file without rows."""
        key, status = path.relative_to(self._root).as_posix(), path.lstat()
        kind = key.split("/")[0].lstrip("._") if self._kind_by_folder and "/" in key else self.name
        copy = Copy(self.name, kind, day_of(key), key, status.st_size, written=_day_at(status.st_mtime, self._schema))
        if copy.day is not None:
            return copy
        if path.is_symlink():
            return None
        try:
            has_rows, day = holds_rows(path, self._schema, known)
        except LakeError:  # one file that nobody may read does not keep the others from going; the audit names it
            return copy
        if has_rows is None:
            has_rows = self._rows_only and copy.size > 0 and key not in self._side_tables
        if has_rows and day is None and self._rows_only:
            return copy._replace(day=copy.written, guessed=copy.written is not None)
        return copy._replace(day=day) if has_rows else None

    def _files(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self._root):
            folders[:] = sorted(name for name in folders if Path(folder, name) not in self._without)
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in sorted([*names, *links]):
                path = Path(folder, name)
                if path.is_symlink() or path.is_file():
                    yield path


def holds_rows(path: Path, schema: Schema, known: Known) -> tuple[bool | None, date | None]:
    """Whether a file whose path tells no day holds rows (None: it is of no form that is looked into), and the oldest
    day that they are of. Raises LakeError when the system will not read it."""
    by_digest = known.get(path.stat().st_size)
    if by_digest is not None:
        day = by_digest.get(file_digest(path))
        if day is not None:
            return True, day
    contents = inspect(path, schema, None)
    if contents is None:
        return None, None
    if contents.readable and not contents.rows.total():
        return False, None
    return True, min(contents.days, default=None)


def _day_at(seconds: float, schema: Schema) -> date | None:
    """The schema's day at a Unix time; None where a file system says nonsense."""
    try:
        return (datetime.fromtimestamp(seconds, UTC) + timedelta(hours=schema.event_time.day_starts_utc)).date()
    except (ValueError, OverflowError, OSError):
        return None
