import pytest
from handmade import DAY, SCHEMA, deliver, raw_rows
from interrupted import Interrupted, InterruptedStore

from mmoe.errors import CorruptionError, LakeError, PartitionExpiredError, PartitionMissingError, SchemaError
from mmoe.lake.horizon import Horizon, advance_horizon
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Failure, Manifest, Validation
from mmoe.lake.partitions import manifest_key, partition_prefix
from mmoe.lake.publish import load_validation, publish, save_validation
from mmoe.lake.quarantine import list_quarantined, quarantine
from mmoe.lake.reader import open_partition, published_days, read_manifest, trailing_manifests
from mmoe.lake.staging import staged_paths
from mmoe.schema import Schema


def passed(staged):
    return Validation(status="passed", subject=staged.digest, checks=1)


def failed(staged, detail="3 of 200 rows"):
    failure = Failure(expectation="column_values_to_be_in_set", column="click", severity="critical", detail=detail)
    return Validation(status="failed", subject=staged.digest, checks=1, failures=(failure,))


def stage(store, landing, seed=0):
    deliver(landing, raw_rows(seed=seed))
    return stage_day(store, landing, SCHEMA, DAY)


def content(store):
    return {entry.key: store.read_bytes(entry.key) for entry in store.list("")}


def test_a_published_day_reads_back_verified(store, landing):
    staged = stage(store, landing)
    manifest = publish(store, staged, passed(staged), SCHEMA)
    partition = open_partition(store, DAY, SCHEMA)
    assert (partition.day, partition.rows, partition.digest) == (DAY, 200, manifest.digest)
    assert published_days(store) == [DAY]
    assert read_manifest(store, DAY) == manifest
    assert manifest.label_rates["click"] == manifest.labels["click"].positives / 200


def test_publishing_the_same_day_again_changes_no_byte(store, landing):
    staged = stage(store, landing)
    first = publish(store, staged, passed(staged), SCHEMA)
    before = content(store)
    assert publish(store, staged, passed(staged), SCHEMA) == first  # an interrupted step run again
    again = stage(store, landing)
    assert publish(store, again, passed(again), SCHEMA) == first
    assert content(store) == before


def test_a_repeated_delivery_keeps_the_partitions_digest(store, landing):
    staged = stage(store, landing)
    first = publish(store, staged, passed(staged), SCHEMA)
    deliver(landing, raw_rows(), "again.parquet")
    staged = stage_day(store, landing, SCHEMA, DAY)
    second = publish(store, staged, passed(staged), SCHEMA)
    assert second.digest == first.digest
    assert second.counts["duplicates"] == 200


def test_a_corrected_day_replaces_the_old_one_as_a_whole(store, landing):
    old = stage(store, landing)
    publish(store, old, passed(old), SCHEMA)
    new = stage(store, landing, seed=1)
    manifest = publish(store, new, passed(new), SCHEMA)
    names = {entry.key.rpartition("/")[2] for entry in store.list(partition_prefix(DAY))}
    assert names == {"manifest.json", manifest.files[0].name}
    assert open_partition(store, DAY, SCHEMA).digest == manifest.digest


def test_a_publication_killed_at_any_write_ends_in_the_same_state_when_run_again(store, landing, tmp_path):
    old = stage(store, landing)
    publish(store, old, passed(old), SCHEMA)
    quarantine(store, old, failed(old))
    new = stage(store, landing, seed=1)
    start = content(store)
    expected = None
    for step in range(20):
        for key in [entry.key for entry in store.list("")]:
            store.delete([key])
        for key, value in start.items():
            store.write_bytes(key, value)
        try:
            publish(InterruptedStore(store, step), new, passed(new), SCHEMA)
            finished = True
        except Interrupted:
            finished = False
            open_partition(store, DAY, SCHEMA)  # the old rows or the new ones, never a mixture
        publish(store, new, passed(new), SCHEMA)
        expected = expected or content(store)
        assert content(store) == expected
        if finished:
            break
    assert finished
    assert step >= 3


def test_only_a_validation_of_these_rows_publishes_them(store, landing):
    staged = stage(store, landing)
    with pytest.raises(LakeError, match="its validation failed"):
        publish(store, staged, failed(staged), SCHEMA)
    other = stage(store, landing, seed=1)
    with pytest.raises(LakeError, match="the validation is of other rows"):
        publish(store, other, passed(staged), SCHEMA)
    assert published_days(store) == []


def test_staged_rows_that_changed_or_vanished_are_not_published(store, landing):
    staged = stage(store, landing)
    (path,) = staged_paths(store, staged)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LakeError, match="changed since ingest"):
        publish(store, staged, passed(staged), SCHEMA)
    path.unlink()
    with pytest.raises(PartitionMissingError, match="run ingest for the day again"):
        publish(store, staged, passed(staged), SCHEMA)


def test_an_expired_day_cannot_be_published_or_read(store, landing):
    staged = stage(store, landing)
    publish(store, staged, passed(staged), SCHEMA)
    staged = stage(store, landing)
    advance_horizon(store, Horizon(day=DAY.replace(day=11)))
    with pytest.raises(PartitionExpiredError, match="behind the retention horizon 2026-03-11"):
        publish(store, staged, passed(staged), SCHEMA)
    with pytest.raises(PartitionExpiredError):
        open_partition(store, DAY, SCHEMA)
    assert published_days(store) == []


def test_changed_bytes_are_found_before_they_are_read(store, landing):
    staged = stage(store, landing)
    manifest = publish(store, staged, passed(staged), SCHEMA)
    path = store.local_path(partition_prefix(DAY) + manifest.files[0].name)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match="not those of its manifest"):
        open_partition(store, DAY, SCHEMA)
    path.unlink()
    with pytest.raises(CorruptionError, match="not in the lake"):
        open_partition(store, DAY, SCHEMA)
    store.write_bytes(manifest_key(DAY), b'{"day": "secret"}')
    with pytest.raises(CorruptionError) as caught:
        read_manifest(store, DAY)
    assert "secret" not in str(caught.value)


def test_a_reader_that_meets_a_publication_reads_the_new_rows(store, landing):
    old = stage(store, landing)
    first = publish(store, old, passed(old), SCHEMA)

    class PublishedMeanwhile:
        def __getattr__(self, name):
            return getattr(store, name)

        def list(self, prefix):
            if prefix.endswith(first.files[0].name):
                new = stage(store, landing, seed=1)
                self.manifest = publish(store, new, passed(new), SCHEMA)
            return store.list(prefix)

    meanwhile = PublishedMeanwhile()
    assert open_partition(meanwhile, DAY, SCHEMA).digest == meanwhile.manifest.digest != first.digest


def test_another_schema_and_an_absent_day_are_refused_with_the_fix(store, landing):
    staged = stage(store, landing)
    publish(store, staged, passed(staged), SCHEMA)
    changed = SCHEMA.model_dump(mode="json")
    changed["features"]["categorical"]["ad_id"]["buckets"] = 7
    with pytest.raises(SchemaError, match="ingest the day again under this schema"):
        open_partition(store, DAY, Schema.model_validate(changed))
    with pytest.raises(PartitionMissingError, match="ingest the day first"):
        read_manifest(store, DAY.replace(day=9))


def test_a_quarantined_day_is_listed_until_it_is_published(store, landing):
    staged = stage(store, landing)
    record = quarantine(store, staged, failed(staged))
    assert quarantine(store, staged, failed(staged)) == record
    assert list_quarantined(store) == [record]
    assert record.reason == "click: column_values_to_be_in_set: 3 of 200 rows"
    quarantine(store, staged, failed(staged, "4 of 200 rows"))
    assert [open_one.reason[-13:] for open_one in list_quarantined(store)] == ["4 of 200 rows"]
    manifest = publish(store, staged, passed(staged), SCHEMA)
    assert list_quarantined(store) == []
    closed = list_quarantined(store, closed=True)
    assert len(closed) == 2
    assert manifest.digest in {settled.closed_by for settled in closed}


def test_quarantine_leaves_an_earlier_publication_readable(store, landing):
    good = stage(store, landing)
    manifest = publish(store, good, passed(good), SCHEMA)
    bad = stage(store, landing, seed=1)
    quarantine(store, bad, failed(bad))
    assert open_partition(store, DAY, SCHEMA).digest == manifest.digest


def test_validations_are_kept_by_day(store, landing):
    with pytest.raises(PartitionMissingError, match="run validate"):
        load_validation(store, DAY)
    staged = stage(store, landing)
    save_validation(store, DAY, failed(staged))
    assert load_validation(store, DAY) == failed(staged)


def test_only_earlier_days_trail(store, landing):
    for day in (8, 9, 10, 11):
        at = DAY.replace(day=day)
        deliver(landing, raw_rows(at), day=at)
        staged = stage_day(store, landing, SCHEMA, at)
        publish(store, staged, passed(staged), SCHEMA)
    assert [past.day.day for past in trailing_manifests(store, DAY)] == [8, 9]
    assert [past.day.day for past in trailing_manifests(store, DAY, limit=1)] == [9]


def test_the_manifest_keeps_its_format():
    golden = """{
      "format": 1, "day": "2026-03-10", "schema_name": "s", "schema_fingerprint": "f",
      "files": [{"name": "part-0-ab.parquet", "rows": 2, "bytes": 9, "sha256": "ab"}],
      "sources": [{"name": "part-0.parquet", "bytes": 12, "sha256": "cd"}],
      "counts": {"duplicates": 1}, "nulls": {}, "view_type_rows": {"home": 2},
      "labels": {"click": {"positives": 1, "negatives": 1, "nulls": 0}},
      "validation": {"status": "passed", "subject": "d", "checks": 3, "failures": []}
    }"""
    manifest = Manifest.model_validate_json(golden)
    assert manifest.digest == "fa8cef26795af9e268d01365cbad60962caf6174272e47168f1266101c8f0ed0"
