"""Where the lake's bytes lie, behind one small protocol."""

from mmoe.lake.store.local import LocalStore, remove_empty_folders
from mmoe.lake.store.opening import open_store
from mmoe.lake.store.protocol import Entry, Store, StoredCopy

__all__ = ["Entry", "LocalStore", "Store", "StoredCopy", "open_store", "remove_empty_folders"]
