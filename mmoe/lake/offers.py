"""Days that a backfill published and that the champion has not learned: offered to a person, never trained silently.

Each is one small file outside the day's partition: day, digests and run id, no row.
"""

from collections.abc import Iterable
from datetime import date

from mmoe.errors import LakeError
from mmoe.lake.manifest import from_json, to_json
from mmoe.lake.reader import published_days, read_manifest
from mmoe.lake.store import Store
from mmoe.parsing import Frozen

OFFERS = "_offers"


class Offer(Frozen):
    day: date
    manifest: str
    """Digest of the publication that is offered, or was learned."""
    source_run: str | None = None
    """The run that published it."""
    learned: bool = False
    """Whether a champion has learned this publication."""


def offer(store: Store, day: date, source_run: str) -> bool:
    """Offer the day's publication for training. False if a champion has learned just these rows already."""
    manifest = read_manifest(store, day).digest
    before = _read(store, day)
    if before is not None and before.learned and before.manifest == manifest:
        return False
    store.write_bytes(_key(day), to_json(Offer(day=day, manifest=manifest, source_run=source_run)))
    return True


def learned(store: Store, publications: Iterable[tuple[date, str]]) -> None:
    """Note what a new champion has learned: days with their manifests' digests. Forgets days that have expired."""
    for day, manifest in publications:
        before = _read(store, day)
        if before is not None and not before.learned and before.manifest != manifest:
            continue  # what was learned is an earlier publication than the one offered
        store.write_bytes(_key(day), to_json(Offer(day=day, manifest=manifest, learned=True)))
    kept = set(published_days(store))
    store.delete([_key(each.day) for each in _all(store) if each.day not in kept])


def open_offers(store: Store) -> list[Offer]:
    """By day; those whose publication is still the one offered."""
    return [each for each in _all(store) if not each.learned and _is_current(store, each)]


def how_to_train(day: date) -> str:
    """For a person: a day is learned either by the daily update or by the next challenger."""
    command = f"""airflow dags trigger incremental_training --conf '{{"day": "{day}"}}'"""
    return f"{command} where the champion has not learned that far; else batch_training, whose window takes it in."


def _is_current(store: Store, offered: Offer) -> bool:
    try:
        return read_manifest(store, offered.day).digest == offered.manifest
    except LakeError:  # expired, gone or damaged: nothing to train on
        return False


def _all(store: Store) -> list[Offer]:
    keys = [entry.key for entry in store.list(f"{OFFERS}/")]
    return [from_json(Offer, content, key) for key in keys if (content := store.read_bytes(key))]


def _read(store: Store, day: date) -> Offer | None:
    content = store.read_bytes(_key(day))
    return None if content is None else from_json(Offer, content, _key(day))


def _key(day: date) -> str:
    return f"{OFFERS}/{day}.json"
