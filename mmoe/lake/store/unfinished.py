"""Writes that are not objects yet: each in a folder named by its key, so that its day is known, until it is renamed."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote
from uuid import uuid4

from mmoe.errors import LakeError
from mmoe.lake.store.protocol import StoredCopy

LOCK = ".lock"


class Unfinished:
    """Writes of a process that is gone are removed by the next write: their lock went with the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def write(self, key: str) -> Iterator[Path]:
        """A path to write `key` at. Nothing of it is left afterwards, unless it was renamed or the process killed.

        Raises LakeError where the disk refuses, as it does when it is full.
        """
        place = self.folder / f"{quote(key, safe='=')}.{uuid4().hex}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._begun(place):
                yield place / Path(key).name
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise LakeError(f"{key}: cannot be written at {self.folder.parent}: {reason}.") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def copies(self, prefix: str) -> list[StoredCopy]:
        found = []
        for place in self._places():
            key = unquote(place.name.rpartition(".")[0])
            if key.startswith(prefix):
                found.append(StoredCopy(key=key, size=_size(place), kind="upload", handle=place.name))
        return found

    def remove(self, handle: str) -> None:
        """Raises OSError."""
        place = self.folder / Path(handle).name
        if place.exists():
            shutil.rmtree(place)

    @contextmanager
    def _begun(self, place: Path) -> Iterator[None]:
        with (self.folder / LOCK).open("ab") as whole:
            fcntl.flock(whole, fcntl.LOCK_EX)
            for other in self._places():
                if _abandoned(other):
                    shutil.rmtree(other, ignore_errors=True)
            place.mkdir()
            mine = (place / LOCK).open("ab")
            fcntl.flock(mine, fcntl.LOCK_EX)
        with mine:
            yield

    def _places(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_dir()] if self.folder.is_dir() else []


def move_into_place(aside: Path, target: Path) -> None:
    """Rename, so that both the bytes and the name survive a power cut."""
    _flush_to_disk(aside)
    aside.replace(target)
    _flush_to_disk(target.parent)


def _abandoned(place: Path) -> bool:
    try:
        with (place / LOCK).open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False


def _size(place: Path) -> int:
    try:
        return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    except FileNotFoundError:
        return 0  # finished meanwhile


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
