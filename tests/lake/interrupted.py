"""A store whose process "is killed": the n-th change and all after it raise instead of happening."""


class Interrupted(BaseException):
    """Like KeyboardInterrupt: nothing catches it by accident."""


class InterruptedStore:
    def __init__(self, store, changes):
        self.store = store
        self.changes = changes

    def __getattr__(self, name):
        return getattr(self.store, name)

    def put_file(self, source, key):
        self._count()
        self.store.put_file(source, key)

    def write_bytes(self, key, content):
        self._count()
        self.store.write_bytes(key, content)

    def swap_bytes(self, key, old, new):
        self._count()
        return self.store.swap_bytes(key, old, new)

    def delete(self, keys):
        for key in keys:
            self._count()
            self.store.delete([key])

    def purge(self, copies):
        for copy in copies:
            self._count()
            self.store.purge([copy])

    def _count(self):
        if self.changes == 0:
            raise Interrupted
        self.changes -= 1
