"""Named locks on an object store, by Lamport's bakery algorithm (Communications of the ACM 17(8), 1974).

It needs nothing but what S3 promises everywhere: a write is seen by every listing after it. Whoever wants a lock says
that it is choosing, takes a number above all that it sees, and waits for lower numbers and for those who were choosing
meanwhile. A waiting or holding process renews its ticket; a ticket that a waiter has seen unchanged for TTL seconds of
its own clock belongs to a dead process and is removed, so no two clocks are ever compared. A holder counts its lock as
lost after half of that without a renewal, and then writes nothing more.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, local
from uuid import uuid4

from mmoe.errors import LakeError
from mmoe.lake.store.bucket import Bucket
from mmoe.lake.store.protocol import LOCKS
from mmoe.lake.store.swap import erase

TTL = 30.0
FIRST_WAIT, LONGEST_WAIT = 0.05, 0.5
"""Seconds between two looks at who is ahead."""


class Ticket:
    """A place in a lock's queue, renewed until it is left."""

    def __init__(self, bucket: Bucket, key: str, ttl: float) -> None:
        self.key = key
        self._bucket, self._ttl = bucket, ttl
        self._renewals = 0
        self._version: str | None = None
        self._renewed = time.monotonic()
        self._left = Event()
        self._thread = Thread(target=self._keep, name=f"renew {key}", daemon=True)
        self._renew()

    @property
    def lost(self) -> bool:
        return time.monotonic() - self._renewed > self._ttl / 2

    def keep(self) -> None:
        self._thread.start()

    def leave(self) -> None:
        """A store that cannot be reached now sees the ticket expire."""
        self._left.set()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(LakeError):
            erase(self._bucket, self.key)

    def _keep(self) -> None:
        while not self._left.wait(self._ttl / 8) and not self.lost:
            with suppress(LakeError):
                self._renew()

    def _renew(self) -> None:
        begun, before = time.monotonic(), self._version
        self._renewals += 1
        self._version = self._bucket.put(self.key, str(self._renewals).encode())
        self._renewed = begun
        if before is not None:
            self._bucket.remove([(self.key, before)])


class Locks:
    """A thread's locks guard what the thread writes: see `check`."""

    def __init__(self, bucket: Bucket, ttl: float = TTL) -> None:
        self._bucket, self._ttl = bucket, ttl
        self._mine = local()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        ticket = self._enter(f"{LOCKS}/{name}/")
        try:
            self._held[name] = ticket
            yield
        finally:
            del self._held[name]
            ticket.leave()

    def check(self) -> None:
        """Raises LakeError when a lock that this thread holds may have passed to another."""
        for name, ticket in self._held.items():
            if ticket.lost:
                raise LakeError(
                    f"{self._bucket.url}: the lock {name!r} was lost, since it could not be renewed for "
                    f"{self._ttl / 2:.0f} s; nothing more was written. Run the step again."
                )

    @property
    def _held(self) -> dict[str, Ticket]:
        held: dict[str, Ticket] = self._mine.__dict__.setdefault("held", {})
        return held

    def _enter(self, folder: str) -> Ticket:
        while True:
            me = uuid4().hex
            choosing = f"{folder}choosing/{me}"
            self._bucket.put(choosing, b"")
            try:
                number = 1 + max((_number(key) for key in self._seen(folder)), default=0)
                ticket = Ticket(self._bucket, f"{folder}queue/{number:012d}-{me}", self._ttl)
                seen = self._seen(folder)
            finally:
                erase(self._bucket, choosing)
            ticket.keep()
            # Only while our choosing stood could nobody pass us by; whoever took us for dead may have.
            if choosing in seen and self._reach_the_head(folder, ticket, seen, choosing):
                return ticket
            ticket.leave()

    def _reach_the_head(self, folder: str, ticket: Ticket, seen: dict[str, str], mine: str) -> bool:
        """Wait for all who come before. False when the ticket was lost on the way."""
        choosers = {key for key in seen if "/choosing/" in key} - {mine}
        watched: dict[str, tuple[str, float]] = {}
        pause = FIRST_WAIT
        while not ticket.lost and ticket.key in seen:
            ahead = [key for key in seen if key in choosers or ("/queue/" in key and key < ticket.key)]
            if not ahead:
                return True
            for key in ahead:
                tag, since = watched.setdefault(key, (seen[key], time.monotonic()))
                if tag != seen[key]:
                    watched[key] = (seen[key], time.monotonic())
                elif time.monotonic() - since > self._ttl:
                    erase(self._bucket, key)
            time.sleep(pause)
            pause = min(LONGEST_WAIT, pause * 1.5)
            seen = self._seen(folder)
        return False

    def _seen(self, folder: str) -> dict[str, str]:
        return {key: etag for key, _, etag in self._bucket.current(folder)}


def _number(key: str) -> int:
    """Of a ticket in the queue; 0 for one who is choosing."""
    return int(key.rpartition("/")[2].partition("-")[0]) if "/queue/" in key else 0
