"""Where the lake's bytes lie, behind one small protocol. Today a local folder."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from mmoe.errors import LakeError, SettingsError
from mmoe.lake.partitions import STAGING

LOCKS = "_locks"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stored object: its key below the store's root, and its size in bytes."""

    key: str
    size: int


class Store(Protocol):
    """What the lake needs from storage. Every write is atomic: readers see the old bytes or the new ones."""

    def put_file(self, source: Path, key: str) -> None: ...

    def writer(self, key: str) -> AbstractContextManager[tuple[Path, Callable[[], None]]]:
        """A local path to write at, and a call that makes what lies there the object. Without the call, nothing stays.

        The path lies among the store's own staged files, so what a crash leaves there expires with the key's day.
        """

    def read_bytes(self, key: str) -> bytes | None:
        """The object's bytes; None when there is no such object."""

    def write_bytes(self, key: str, content: bytes, *, if_absent: bool = False) -> bool:
        """Replace the object. With `if_absent`, write only where none is; False says one was there."""

    def list(self, prefix: str) -> tuple[Entry, ...]:
        """Every object whose key starts with `prefix`, sorted by key."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; absent ones are no error."""

    def local_path(self, key: str) -> Path:
        """A local file with the object's bytes. Raises LakeError when there is no such object."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold a named lock; waits for whoever holds it. It ends with its process, however that ends."""


class LocalStore:
    """A folder. Writes go to _staging first and are renamed, so both must lie on one file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_file(self, source: Path, key: str) -> None:
        with self._aside(key) as aside:
            shutil.copyfile(source, aside)
            _flush_to_disk(aside)
            aside.replace(self._target(key))

    @contextmanager
    def writer(self, key: str) -> Iterator[tuple[Path, Callable[[], None]]]:
        with self._aside(key) as aside:

            def commit() -> None:
                _flush_to_disk(aside)
                aside.replace(self._target(key))

            yield aside, commit

    def read_bytes(self, key: str) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def write_bytes(self, key: str, content: bytes, *, if_absent: bool = False) -> bool:
        with self._aside(key) as aside:
            aside.write_bytes(content)
            _flush_to_disk(aside)
            if not if_absent:
                aside.replace(self._target(key))
                return True
            try:
                os.link(aside, self._target(key))
            except FileExistsError:
                return False
            return True

    def list(self, prefix: str) -> tuple[Entry, ...]:
        folder = self._path(prefix if prefix.endswith("/") else prefix.rpartition("/")[0])
        found = []
        for path, _, names in os.walk(folder):
            for name in names:
                file = Path(path, name)
                key = file.relative_to(self.root).as_posix()
                if key.startswith(prefix) and not key.startswith(LOCKS):
                    found.append(Entry(key=key, size=file.lstat().st_size))
        return tuple(sorted(found, key=lambda entry: entry.key))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            path.unlink(missing_ok=True)
            remove_empty_folders(path.parent, self.root / Path(key).parts[0])

    def local_path(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise LakeError(f"{key}: no such object in the lake at {self.root}.")
        return path

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        path = self._target(f"{LOCKS}/{name}")
        with path.open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _path(self, key: str) -> Path:
        path = Path(os.path.normpath(self.root / key))
        if path != self.root and self.root not in path.parents:
            raise LakeError(f"key={key!r}: leads out of the lake; use a key below its root.")
        return path

    def _target(self, key: str) -> Path:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def _aside(self, key: str) -> Iterator[Path]:
        """A file name that keeps the key's day, so that retention finds what a crash leaves."""
        aside = self._target(f"{STAGING}/{key.replace('/', '~')}.{uuid4().hex}.tmp")
        try:
            yield aside
        finally:
            aside.unlink(missing_ok=True)


def open_store(url: str) -> Store:
    """The lake at a local folder. Raises SettingsError for any other kind of address."""
    if "://" in url and not url.startswith("file://"):
        kind = url.split("://")[0]
        raise SettingsError(f"MMOE_LAKE={url!r}: {kind}:// is not supported yet; give a local folder.")
    return LocalStore(Path(os.path.normpath(Path(url.removeprefix("file://")).absolute())))


def remove_empty_folders(folder: Path, root: Path) -> None:
    """Remove `folder` and its parents below `root`, as far as they are empty. `root` stays."""
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        folder = folder.parent


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
