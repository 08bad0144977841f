"""The lake in a local folder."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmoe.errors import LakeError
from mmoe.lake.store.protocol import LOCKS, Entry, StoredCopy
from mmoe.lake.store.unfinished import Unfinished, move_into_place

UNFINISHED = "_unfinished"


class LocalStore:
    """A folder. Writes go to its _unfinished first and are renamed, so all of it must lie on one file system."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._unfinished = Unfinished(root / UNFINISHED)

    def put_file(self, source: Path, key: str) -> None:
        with self.writer(key) as (aside, commit):
            shutil.copyfile(source, aside)
            commit()

    @contextmanager
    def writer(self, key: str) -> Iterator[tuple[Path, Callable[[], None]]]:
        self._path(key)
        with self._unfinished.write(key) as aside:
            yield aside, lambda: move_into_place(aside, self._target(key))

    def read_bytes(self, key: str) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def write_bytes(self, key: str, content: bytes) -> None:
        with self.writer(key) as (aside, commit):
            aside.write_bytes(content)
            commit()

    def swap_bytes(self, key: str, old: bytes | None, new: bytes) -> bool:
        with self.lock("swap"):
            if self.read_bytes(key) != old:
                return False
            self.write_bytes(key, new)
            return True

    def list(self, prefix: str) -> tuple[Entry, ...]:
        folder = self._path(prefix if prefix.endswith("/") else prefix.rpartition("/")[0])
        found = []
        for path, folders, names in os.walk(folder):
            if Path(path) == self.root:
                folders[:] = [name for name in folders if name not in (LOCKS, UNFINISHED)]
            for file in (Path(path, name) for name in names):
                key = file.relative_to(self.root).as_posix()
                if key.startswith(prefix):
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        found.append(Entry(key=key, size=file.lstat().st_size))
        return tuple(sorted(found, key=lambda entry: entry.key))

    def delete(self, keys: Iterable[str]) -> None:
        self.purge(StoredCopy(key=key, size=0, kind="object", handle="") for key in keys)

    def copies(self, prefix: str) -> tuple[StoredCopy, ...]:
        objects = [StoredCopy(key=each.key, size=each.size, kind="object", handle="") for each in self.list(prefix)]
        return tuple(sorted(objects + self._unfinished.copies(prefix), key=lambda copy: (copy.key, copy.handle)))

    def purge(self, copies: Iterable[StoredCopy]) -> None:
        refused = []
        for copy in copies:
            try:
                self._remove(copy)
            except OSError as error:
                refused.append(f"{copy.key} ({error.strerror})")
        if refused:
            raise LakeError(f"The lake at {self.root} keeps what should go: {', '.join(refused)}; see its permissions.")

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

    def _remove(self, copy: StoredCopy) -> None:
        if copy.kind == "upload":
            self._unfinished.remove(copy.handle)
            return
        path = self._path(copy.key)
        path.unlink(missing_ok=True)
        remove_empty_folders(path.parent, self.root / Path(copy.key).parts[0])

    def _path(self, key: str) -> Path:
        path = Path(os.path.normpath(self.root / key))
        if path != self.root and self.root not in path.parents:
            raise LakeError(f"key={key!r}: leads out of the lake; use a key below its root.")
        return path

    def _target(self, key: str) -> Path:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


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
