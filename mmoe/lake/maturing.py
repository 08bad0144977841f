"""Which published days are behind what has arrived for them: labels that have become final, or rows that came late."""

from datetime import date, timedelta

from mmoe.lake.horizon import read_horizons
from mmoe.lake.late import included, waiting
from mmoe.lake.manifest import Manifest
from mmoe.lake.partitions import staging_prefix
from mmoe.lake.reader import published_days, read_manifest
from mmoe.lake.store import Store
from mmoe.schema import Schema


def days_to_renew(store: Store, schema: Schema, as_of: date) -> list[date]:
    """Published days before `as_of`, oldest first, whose rows or labels would change if they were ingested again.

    Also those whose publication was interrupted: it ends by removing what it was made of. Days that have expired in
    part are left alone, because so have the files that they were made of.
    """
    late = waiting(store)
    horizons = read_horizons(store)
    first = horizons.newest if horizons else date.min
    manifests = [read_manifest(store, day) for day in published_days(store) if first <= day < as_of]
    return [
        manifest.day
        for manifest in manifests
        if _is_behind(manifest, late.get(manifest.day, set()), schema, as_of) or _is_unfinished(store, manifest)
    ]


def known_as_of(manifest: Manifest) -> date:
    """The day at whose start the partition's labels were taken as final or not."""
    return manifest.as_of or manifest.day + timedelta(days=1)


def _is_behind(manifest: Manifest, late: set[str], schema: Schema, as_of: date) -> bool:
    then, now = ((end - manifest.day).days - 1 for end in (known_as_of(manifest), as_of))
    matured = any(then < label.maturity_days <= now for label in schema.labels.values())
    return matured or included(manifest) != late


def _is_unfinished(store: Store, manifest: Manifest) -> bool:
    staged = {
        entry.key.removeprefix(staging_prefix(manifest.day)) for entry in store.list(staging_prefix(manifest.day))
    }
    return not staged.isdisjoint(file.name for file in manifest.files)
