"""Open the lake by its address."""

import os
from pathlib import Path

from mmoe.errors import SettingsError
from mmoe.lake.store.local import LocalStore
from mmoe.lake.store.protocol import Store


def open_store(url: str) -> Store:
    """The lake at a local folder. Raises SettingsError for any other kind of address."""
    if "://" in url and not url.startswith("file://"):
        kind = url.split("://")[0]
        raise SettingsError(f"MMOE_LAKE={url!r}: {kind}:// is not supported yet; give a local folder.")
    return LocalStore(Path(os.path.normpath(Path(url.removeprefix("file://")).absolute())))
