"""Local copies of objects. Their paths hold the objects' keys, so that retention finds them by day."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from mmoe.errors import CorruptionError
from mmoe.lake.manifest import file_digest
from mmoe.lake.store.bucket import Head
from mmoe.lake.store.local import remove_empty_folders
from mmoe.lake.store.unfinished import Unfinished, move_into_place

UNFINISHED = "_unfinished"


class Cache:
    """One copy a key: that of the object as it was last read or written here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unfinished = Unfinished(folder / UNFINISHED)

    def fetch(self, key: str, head: Head, download: Callable[[Path], None]) -> Path:
        """The copy of these bytes, made if it is not there. Raises CorruptionError when other bytes arrive."""
        path = self.path(key, head)
        if not _is_copy(path, head):
            with self.unfinished.write(key) as aside:
                download(aside)
                if not _is_copy(aside, head):
                    raise CorruptionError(f"{key}: its bytes are not those that were stored; make the object again.")
                self._place(key, head, aside)
        return path

    def keep(self, key: str, head: Head, aside: Path) -> None:
        """Bytes that were just stored, if they still are the object's."""
        if head.sha256 is not None and _is_copy(aside, head):
            self._place(key, head, aside)

    def drop(self, key: str) -> None:
        for copy in self._copies(key):
            shutil.rmtree(copy.parent, ignore_errors=True)
            remove_empty_folders(copy.parent, self.folder)

    def keys(self) -> set[str]:
        """Of which objects there are copies."""
        copies = (path.relative_to(self.folder) for path in self.folder.glob("**/" + "?" * 16 + "/*") if path.is_file())
        return {(path.parents[1] / path.name).as_posix() for path in copies if path.parts[0] != UNFINISHED}

    def path(self, key: str, head: Head) -> Path:
        at = self.folder / key
        return at.parent / hashlib.sha256(head.etag.encode()).hexdigest()[:16] / at.name

    def _place(self, key: str, head: Head, aside: Path) -> None:
        path = self.path(key, head)
        earlier = [copy for copy in self._copies(key) if copy != path]
        path.parent.mkdir(parents=True, exist_ok=True)
        move_into_place(aside, path)
        for copy in earlier:
            shutil.rmtree(copy.parent, ignore_errors=True)

    def _copies(self, key: str) -> list[Path]:
        at = self.folder / key
        return [generation / at.name for generation in at.parent.glob("?" * 16) if (generation / at.name).is_file()]


def _is_copy(path: Path, head: Head) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == head.size
        and (head.sha256 is None or file_digest(path) == head.sha256)
    )
