"""Open the lake by its address."""

import os
import re
from pathlib import Path

from mmoe.errors import SettingsError
from mmoe.lake.store.local import LocalStore
from mmoe.lake.store.protocol import Store

S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]+)(?:/(?P<prefix>.*))?")


def open_store(url: str, cache: Path | None = None) -> Store:
    """The lake at a local folder or s3://bucket/prefix; nothing is read or written yet.

    `cache` is the folder for local copies of S3 objects. Raises SettingsError for any other kind of address.
    """
    if found := S3.fullmatch(url):
        return _open_s3(found["bucket"], (found["prefix"] or "").strip("/"), cache)
    if "://" in url and not url.startswith("file://"):
        raise SettingsError(f"MMOE_LAKE={url!r}: not a lake's address; give a local folder or s3://bucket/prefix.")
    return LocalStore(Path(os.path.normpath(Path(url.removeprefix("file://")).absolute())))


def _open_s3(bucket: str, prefix: str, cache: Path | None) -> Store:
    from mmoe.lake.store.bucket import Bucket
    from mmoe.lake.store.s3 import S3Store

    if cache is None:
        raise SettingsError(f"MMOE_LAKE='s3://{bucket}/{prefix}': needs a folder for local copies; set MMOE_CACHE.")
    return S3Store(Bucket(bucket, prefix), cache)
