"""Every place that may hold rows, as the settings name them: what retention deletes from and the audit walks."""

import configparser
from collections.abc import Iterator
from pathlib import Path

from mmoe.errors import SettingsError
from mmoe.lake.holders import LAKE, LANDING, FolderHolder, Holder, StoreHolder
from mmoe.lake.inventory import Stores
from mmoe.lake.store import Store, open_store
from mmoe.schema import Schema
from mmoe.settings import Settings

HOME, CACHE, DVC = "home", "cache", "dvc"


def registered_stores(settings: Settings, schema: Schema, store: Store) -> Stores:
    """Lake, landing zone, everything else below home, DVC's cache and remotes, extra stores, the lake's local cache.

    Raises SettingsError for an extra store without a name or an address.
    """
    home = settings.home.absolute()
    project = settings.dvc_project.absolute()
    lake = StoreHolder(LAKE, settings.lake_url, store, schema)
    landing = FolderHolder(LANDING, settings.landing_path, schema, rows_only=True)
    apart = {settings.landing_path: LANDING, settings.cache_path: CACHE}
    if "://" not in settings.lake_url:
        apart[Path(settings.lake_url)] = LAKE
    named = {DVC: str(project / ".dvc"), **dict(dvc_places(project)), **dict(extra_places(settings.extra_stores))}
    folders = {name: Path(url) for name, url in named.items() if "://" not in url}
    without = [*apart, *folders.values()]
    buckets = {name: url for name, url in named.items() if "://" in url}
    copies = settings.cache_path.parent
    holders: list[Holder] = [
        lake,
        landing,
        *(FolderHolder(name, folder, schema, without=without) for name, folder in folders.items()),
        *(StoreHolder(name, url, open_store(url, copies / name), schema) for name, url in buckets.items()),
        FolderHolder(HOME, home, schema, without=without, kind_by_folder=True),
        FolderHolder(CACHE, settings.cache_path, schema),
    ]
    return Stores(store=store, schema=schema, landing=landing, holders=tuple(holders))


def dvc_places(project: Path) -> Iterator[tuple[str, str]]:
    """The cache and every remote that the project's DVC configuration names. Its own .dvc folder is walked anyway."""
    for name in ("config", "config.local"):
        config = configparser.ConfigParser(interpolation=None)
        config.read(project / ".dvc" / name, encoding="utf-8")
        for section in config.sections():
            option = "dir" if section == "cache" else "url"
            place = config.get(section, option, fallback="")
            if place and (section == "cache" or "remote" in section):
                label = section.strip("'").removeprefix("remote").strip(' "')
                yield f"{DVC}-{label}", place if "://" in place else str((project / ".dvc" / place).resolve())


def extra_places(text: str) -> Iterator[tuple[str, str]]:
    """MMOE_EXTRA_STORES: NAME=ADDRESS, comma-separated."""
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, url = part.partition("=")
        if not name.strip() or not url.strip():
            raise SettingsError(f"MMOE_EXTRA_STORES={part!r}: give NAME=ADDRESS, comma-separated.")
        yield name.strip(), url.strip() if "://" in url else str(Path(url.strip()).absolute())
