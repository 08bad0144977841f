"""The lake in an S3 bucket: boto3 for control and writing, pyarrow for reading."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from mmoe.errors import LakeError
from mmoe.lake.store.bakery import TTL, Locks
from mmoe.lake.store.bucket import Bucket
from mmoe.lake.store.cache import Cache
from mmoe.lake.store.protocol import LOCKS, Entry, StoredCopy
from mmoe.lake.store.reading import download
from mmoe.lake.store.swap import Capabilities, probe, swap


class S3Store:
    """A prefix of a bucket, with local copies in a cache folder. Whoever holds a lock writes only while it lasts."""

    def __init__(self, bucket: Bucket, cache: Path, *, lock_ttl: float = TTL) -> None:
        self.bucket = bucket
        self._copies = Cache(cache)
        self._locks = Locks(bucket, lock_ttl)

    def put_file(self, source: Path, key: str) -> None:
        self._locks.check()
        self.bucket.upload(source, _checked(key))

    @contextmanager
    def writer(self, key: str) -> Iterator[tuple[Path, Callable[[], None]]]:
        with self._copies.unfinished.write(_checked(key)) as aside:

            def commit() -> None:
                self.put_file(aside, key)
                if head := self.bucket.head(key):
                    self._cache.keep(key, head, aside)

            yield aside, commit

    def read_bytes(self, key: str) -> bytes | None:
        found = self.bucket.get(_checked(key))
        return found.content if found else None

    def write_bytes(self, key: str, content: bytes) -> None:
        self._locks.check()
        self.bucket.put(_checked(key), content)

    def swap_bytes(self, key: str, old: bytes | None, new: bytes) -> bool:
        can = self.capabilities
        self._locks.check()
        return swap(self.bucket, can, _checked(key), old, new)

    def list(self, prefix: str) -> tuple[Entry, ...]:
        found = self.bucket.current(prefix)
        entries = (Entry(key=key, size=size) for key, size, _ in found if not key.startswith(LOCKS))
        return tuple(sorted(entries, key=lambda entry: entry.key))

    def delete(self, keys: Iterable[str]) -> None:
        self._locks.check()
        keys = list(keys)
        self._settle(keys, self.bucket.remove((_checked(key), None) for key in keys))

    def copies(self, prefix: str) -> tuple[StoredCopy, ...]:
        copies = [
            StoredCopy(
                key=item.key,
                size=item.size,
                kind="marker" if item.marker else "object" if item.current else "version",
                handle=item.version,
            )
            for item in self.bucket.versions(prefix)
        ]
        for key, upload, size in self.bucket.uploads(prefix):
            copies.append(StoredCopy(key=key, size=size, kind="upload", handle=upload))
        own = (copy for copy in copies if not copy.key.startswith(LOCKS))
        return tuple(sorted(own, key=lambda copy: (copy.key, copy.kind, copy.handle)))

    def purge(self, copies: Iterable[StoredCopy]) -> None:
        """Past versions before what hides them, so that none becomes readable again on the way."""
        self._locks.check()
        copies = list(copies)
        refused = {}
        for copy in copies:
            if copy.kind == "upload":
                try:
                    self.bucket.abort(copy.key, copy.handle)
                except LakeError as error:
                    refused[copy.key] = str(error)
        refused |= self.bucket.remove((copy.key, copy.handle) for copy in copies if copy.kind == "version")
        hidden = set(refused)
        refused |= self.bucket.remove(
            (copy.key, copy.handle)
            for copy in copies
            if copy.kind == "object" or (copy.kind == "marker" and copy.key not in hidden)
        )
        self._settle([copy.key for copy in copies], refused)

    def local_path(self, key: str) -> Path:
        head = self.bucket.head(_checked(key))
        if head is None:
            raise LakeError(f"{key}: no such object in the lake at {self.bucket.url}.")
        return self._cache.fetch(key, head, lambda path: download(self.bucket, key, head.size, path))

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        _ = self.capabilities  # a store that cannot be written safely is refused before anything is
        with self._locks.hold(name):
            yield

    @cached_property
    def capabilities(self) -> Capabilities:
        """What the store was seen to do. Raises LakeError when it cannot do what a lake needs."""
        return probe(self.bucket)

    @cached_property
    def _cache(self) -> Cache:
        """Without copies of what was deleted meanwhile, perhaps from another machine."""
        copied = self._copies.keys()  # before the listing, so that nothing is missed that another process adds
        for key in copied - {entry.key for entry in self.list("")}:
            self._copies.drop(key)
        return self._copies

    def _settle(self, keys: Iterable[str], refused: dict[str, str]) -> None:
        for key in keys:
            self._copies.drop(key)
        if refused:
            names = ", ".join(f"{key} ({reason})" for key, reason in sorted(refused.items()))
            raise LakeError(f"{self.bucket.url} keeps what should go: {names}; see its locks and permissions.")


def _checked(key: str) -> str:
    """A key that every store and the cache can hold. Raises LakeError."""
    if not key or any(part in ("", ".", "..") for part in key.split("/")):
        raise LakeError(f"key={key!r}: leads out of the lake; use a key below its root.")
    return key
