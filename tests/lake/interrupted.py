"""A store whose process "is killed": the n-th change and all after it raise instead of happening."""

import copy
from dataclasses import replace


class Interrupted(BaseException):
    """Like KeyboardInterrupt: nothing catches it by accident."""


class InterruptedStore:
    def __init__(self, store, changes):
        self.store = store
        self.changes = changes

    @classmethod
    def over(cls, stores, changes):
        """All stores of a home, where the lake, in whatever holder, and the landing zone count as one process."""
        store = cls(stores.store, changes)
        landing = InterruptedHolder(stores.landing, store)
        holders = [_over(holder, store) if hasattr(holder, "_store") else holder for holder in stores.holders]
        holders = [landing if holder is stores.landing else holder for holder in holders]
        return replace(stores, store=store, landing=landing, holders=tuple(holders))

    def __getattr__(self, name):
        return getattr(self.store, name)

    def put_file(self, source, key):
        self.count()
        self.store.put_file(source, key)

    def write_bytes(self, key, content):
        self.count()
        self.store.write_bytes(key, content)

    def swap_bytes(self, key, old, new):
        self.count()
        return self.store.swap_bytes(key, old, new)

    def delete(self, keys):
        for key in keys:
            self.count()
            self.store.delete([key])

    def purge(self, copies):
        for each in copies:
            self.count()
            self.store.purge([each])

    def count(self):
        if self.changes == 0:
            raise Interrupted
        self.changes -= 1


class InterruptedHolder:
    """Deletes one file at a time, each a change of the same process."""

    def __init__(self, holder, store):
        self._holder = holder
        self._counter = store

    def __getattr__(self, name):
        return getattr(self._holder, name)

    def delete(self, copies):
        for each in copies:
            self._counter.count()
            self._holder.delete([each])

    def replace(self, place, write):
        def counted(target):
            self._counter.count()
            write(target)
            self._counter.count()

        self._holder.replace(place, counted)


def _over(holder, store):
    same = copy.copy(holder)
    same._store = store
    return same
