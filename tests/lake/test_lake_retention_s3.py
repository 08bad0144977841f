"""Retention of a lake in a bucket that keeps versions, stopped before a change and run again.

Every third change, for each costs a second or two on moto; test_lake_retention walks all of them in a folder."""

import pytest
from handmade import SCHEMA
from interrupted import Interrupted, InterruptedStore
from lakes import DAYS, expire, publish_day

from mmoe.config import RetentionConfig
from mmoe.lake import ledger
from mmoe.lake.audit import audit
from mmoe.lake.registered import registered_stores
from mmoe.lake.store import open_store
from mmoe.settings import Settings

CONFIG = RetentionConfig(days=1, max_share=1.0)
AS_OF = DAYS[2]
"""DAYS[0] expires; DAYS[1] stays."""


def versions(store):
    """Every version of every key with its bytes, the oldest first."""
    client, name = store.bucket.client, store.bucket.name
    found = client.list_object_versions(Bucket=name)
    assert not found["IsTruncated"]
    return [
        (each["Key"], client.get_object(Bucket=name, Key=each["Key"], VersionId=each["VersionId"])["Body"].read())
        for each in reversed(found["Versions"])
    ]


def put_back(store, kept, current):
    """These versions, and nothing else; a delete marker hides what is not a `current` key of the bucket."""
    client, name = store.bucket.client, store.bucket.name
    found = client.list_object_versions(Bucket=name)
    for each in (*found.get("Versions", ()), *found.get("DeleteMarkers", ())):
        client.delete_object(Bucket=name, Key=each["Key"], VersionId=each["VersionId"])
    for key, content in kept:
        client.put_object(Bucket=name, Key=key, Body=content)
    for key in {key for key, _ in kept} - current:
        client.delete_object(Bucket=name, Key=key)


def readable(store, landing):
    lake = {entry.key: store.read_bytes(entry.key) for entry in store.list("")}
    landed = {path.relative_to(landing): path.read_bytes() for path in landing.rglob("*") if path.is_file()}
    return lake, landed


@pytest.mark.e2e
@pytest.mark.parametrize("lake_url", ["moto versioned"], indirect=True)
def test_a_run_stopped_before_a_change_of_the_bucket_ends_as_if_it_had_not_been(lake_url, tmp_path, landing):
    settings = Settings(home=tmp_path, lake=lake_url, dvc_project=tmp_path / "project")
    store = open_store(lake_url, settings.cache_path)
    stores = registered_stores(settings, SCHEMA, store)
    for day in (DAYS[0], DAYS[0], DAYS[1]):
        publish_day(stores, day)
    start = versions(store)
    current = {f"some/lake/{copy.key}" for copy in store.copies("") if copy.kind == "object"}
    assert len(start) > len({key for key, _ in start})  # there are past versions
    put_back(store, start, current)
    _, landed = readable(store, landing)
    expire(stores, CONFIG, AS_OF)
    expected = readable(store, landing)
    assert len(ledger.entries(store)) == 1
    for step in range(0, 200, 3):
        put_back(store, start, current)
        for name, content in landed.items():
            (landing / name).parent.mkdir(exist_ok=True)
            (landing / name).write_bytes(content)
        try:
            expire(InterruptedStore.over(stores, step), CONFIG, AS_OF)
            break
        except Interrupted:
            expire(stores, CONFIG, AS_OF)
        assert readable(store, landing) == expected, step
        assert [copy for copy in store.copies("") if f"dt={DAYS[0]}" in copy.key] == [], step
    assert 15 < step < 198
    assert audit(stores, AS_OF, CONFIG).ok
