"""What the lake needs from storage. One conformance suite (tests/lake/test_lake_store.py) holds every store to it."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

LOCKS = "_locks"
"""Keys below it are a store's own; they are never listed."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stored object: its key below the store's root, and its size in bytes."""

    key: str
    size: int


@dataclass(frozen=True, kw_only=True)
class StoredCopy:
    """Something that keeps an object's bytes, or its name."""

    key: str
    size: int
    """Bytes kept."""
    kind: Literal["object", "version", "marker", "upload"]
    """object: what readers see · version: what they saw before · marker: that it was deleted · upload: an unfinished
    write of `key`."""
    handle: str
    """How the store tells it from other copies of the key; opaque to everyone else."""


class Store(Protocol):
    """Every write is atomic: readers see the old bytes or the new ones. Whatever the storage refuses is a LakeError."""

    def put_file(self, source: Path, key: str) -> None: ...

    def writer(self, key: str) -> AbstractContextManager[tuple[Path, Callable[[], None]]]:
        """A local path to write at, and a call that makes what lies there the object. Without the call, nothing stays.

        What a crash leaves of the write keeps the key's day in its name, so that it expires with the day.
        """

    def read_bytes(self, key: str) -> bytes | None:
        """The object's bytes; None when there is no such object."""

    def write_bytes(self, key: str, content: bytes) -> None:
        """Replace the object."""

    def swap_bytes(self, key: str, old: bytes | None, new: bytes) -> bool:
        """Replace the object if its bytes are still `old` (None: there is none). False says that they are not."""

    def list(self, prefix: str) -> tuple[Entry, ...]:
        """Every object whose key starts with `prefix`, sorted by key: what readers see, nothing unfinished or past."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; absent ones are no error. Where the storage keeps versions, `purge` ends those."""

    def copies(self, prefix: str) -> tuple[StoredCopy, ...]:
        """All that keeps bytes, or a name, of a key that starts with `prefix`, sorted by key."""

    def purge(self, copies: Iterable[StoredCopy]) -> None:
        """Remove exactly these for good; absent ones are no error.

        Tries all, then raises LakeError naming the keys that the storage refused to remove.
        """

    def local_path(self, key: str) -> Path:
        """A local file with the object's bytes. Raises LakeError when there is no such object."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold a named lock; waits for whoever holds it. It ends with its process, however that ends."""
