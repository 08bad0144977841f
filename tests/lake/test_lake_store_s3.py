"""What only an S3 store does: versions, uploads, leases that expire, refusals, and a store that fails."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import botocore.auth
import pytest
from every_store import EVERY_STORE
from faulty import faulty

from mmoe.errors import LakeError
from mmoe.lake.store import bucket, open_store, reading, refusals, swap
from mmoe.lake.store.bucket import Bucket
from mmoe.lake.store.s3 import S3Store
from mmoe.lake.store.swap import Capabilities

EVERY_S3 = EVERY_STORE[1:]
VERSIONED = EVERY_STORE[2::2]
KEY = "x/dt=2026-03-01/a.parquet"


@pytest.fixture
def open_s3(make_bucket, tmp_path):
    def opened(kind, **options):
        return S3Store(Bucket(make_bucket(kind), "some/lake"), tmp_path / "cache", **options)

    return opened


@pytest.fixture
def quick(monkeypatch):
    """Back off without waiting."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    monkeypatch.setattr(refusals.time, "sleep", lambda _: None)


def take(store, order):
    with store.lock("lake"):
        store.write_bytes("manifest", b"waiter")
        order.append("waiter")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("moto", Capabilities("quoted", False)),
        ("moto versioned", Capabilities("quoted", True)),
        pytest.param("ceph", Capabilities("bare", False), marks=pytest.mark.ceph),
        pytest.param("ceph versioned", Capabilities(None, True), marks=pytest.mark.ceph),
    ],
)
def test_what_a_store_enforces_is_found_out_and_leaves_no_trace(open_s3, kind, expected):
    store = open_s3(kind)
    assert store.capabilities == expected
    assert list(store.bucket.versions("")) == []


def test_a_store_on_which_two_writers_cannot_be_told_apart_is_refused_before_anything_is_written(open_s3, monkeypatch):
    store = open_s3("moto")
    unconditional = store.bucket.client.put_object

    def ignoring(**request):
        return unconditional(**{name: value for name, value in request.items() if not name.startswith("If")})

    monkeypatch.setattr(store.bucket.client, "put_object", ignoring)
    for refused in (lambda: store.swap_bytes("a", None, b""), lambda: store.lock("lake").__enter__()):
        with pytest.raises(LakeError, match=rf"{store.bucket.url}: .* no conditional puts .* enable versioning"):
            refused()
    assert store.list("") == ()


@pytest.mark.parametrize("kind", VERSIONED)
def test_versions_markers_and_unfinished_uploads_are_copies_but_no_objects(open_s3, kind):
    store = open_s3(kind)
    for content in (b"1", b"22"):
        store.write_bytes(KEY, content)
    store.delete([KEY])
    client, place = store.bucket.client, {"Bucket": store.bucket.name, "Key": store.bucket.prefix + KEY}
    upload = client.create_multipart_upload(**place)["UploadId"]
    client.upload_part(**place, UploadId=upload, PartNumber=1, Body=bytes(5 << 20))
    copies = store.copies("x/")
    found = [(copy.kind, copy.size) for copy in copies]
    assert sorted(found) == [("marker", 0), ("upload", 5 << 20), ("version", 1), ("version", 2)]
    assert {copy.key for copy in copies} == {KEY}
    assert store.list("") == ()
    some = [copy for copy in copies if copy.kind == "upload" or copy.size == 1]
    store.purge(some)
    assert [(copy.kind, copy.size) for copy in store.copies("")] == [("marker", 0), ("version", 2)]
    store.purge(copies)
    assert store.copies("") == ()


@pytest.mark.parametrize("kind", VERSIONED)
def test_a_purge_that_the_store_refuses_in_part_removes_the_rest_and_names_what_remains(make_bucket, kind, tmp_path):
    store = S3Store(Bucket(make_bucket(kind, ObjectLockEnabledForBucket=True), ""), tmp_path)
    for name in "abcd":
        store.write_bytes(name, b"1")
    client = store.bucket.client
    until = client.head_object(Bucket=store.bucket.name, Key="a")["LastModified"].replace(year=2099)
    for name in "bd":
        retention = {"Mode": "COMPLIANCE", "RetainUntilDate": until}
        client.put_object_retention(Bucket=store.bucket.name, Key=name, Retention=retention)
    with pytest.raises(LakeError, match=r"keeps what should go: b \(AccessDenied\), d \(AccessDenied\); see its locks"):
        store.purge(store.copies(""))
    assert [copy.key for copy in store.copies("")] == ["b", "d"]


def test_keys_that_a_batch_refuses_for_now_are_tried_again(open_s3, monkeypatch, quick):
    store = open_s3("moto versioned")
    for number in range(7):
        store.write_bytes(f"x/{number}", b"1")
    monkeypatch.setattr(bucket, "BATCH", 3)
    delete, sizes = store.bucket.client.delete_objects, []

    def half(**request):
        objects = request["Delete"]["Objects"]
        sizes.append(len(objects))
        done, later = objects[: (len(objects) + 1) // 2], objects[(len(objects) + 1) // 2 :]
        answer = delete(Bucket=request["Bucket"], Delete={"Objects": done, "Quiet": True})
        return answer | {"Errors": [{"Key": each["Key"], "Code": "SlowDown"} for each in later]}

    monkeypatch.setattr(store.bucket.client, "delete_objects", half)
    store.purge(store.copies(""))
    assert store.copies("") == ()
    assert sizes == [3, 1, 3, 1, 1]


def test_a_large_file_is_stored_in_parts_and_read_back(open_s3, monkeypatch, tmp_path):
    transfer = bucket.TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    monkeypatch.setattr(bucket, "TRANSFER", transfer)
    store = open_s3("moto")
    content = bytes(range(256)) * (12 << 12)
    (tmp_path / "large").write_bytes(content)
    store.put_file(tmp_path / "large", KEY)
    assert store.bucket.head(KEY).etag.endswith('-3"')
    assert store.local_path(KEY).read_bytes() == content


def test_an_object_is_downloaded_once_and_again_when_the_copy_is_damaged(open_s3, tmp_path, monkeypatch):
    store = open_s3("moto")
    (tmp_path / "file").write_bytes(b"content")
    store.put_file(tmp_path / "file", KEY)
    path = store.local_path(KEY)
    monkeypatch.setattr("mmoe.lake.store.s3.download", None)
    assert store.local_path(KEY) == path
    monkeypatch.undo()
    path.write_bytes(b"damaged")
    assert store.local_path(KEY).read_bytes() == b"content"


def test_the_cache_keeps_one_copy_a_key_under_its_day_and_none_of_what_was_deleted(open_s3, tmp_path):
    store = open_s3("moto versioned")
    for content in (b"1", b"2"):
        store.write_bytes(KEY, content)
        store.local_path(KEY)
    (copy,) = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.name != ".lock"]
    assert copy.read_bytes() == b"2"
    assert "dt=2026-03-01" in copy.parts
    store.delete([KEY])
    assert not copy.exists()


def test_a_machine_sheds_its_copies_of_what_another_machine_deleted(make_bucket, tmp_path):
    name = make_bucket("moto")
    here, there = (S3Store(Bucket(name, ""), tmp_path / machine) for machine in ("here", "there"))
    for key in (KEY, "x/dt=2026-03-02/a.parquet"):
        here.write_bytes(key, b"1")
        here.local_path(key)
    there.delete([KEY])
    kept = S3Store(Bucket(name, ""), tmp_path / "here").local_path("x/dt=2026-03-02/a.parquet")
    files = [path for path in (tmp_path / "here").rglob("*") if path.is_file() and path.name != ".lock"]
    assert files == [kept]
    assert not (tmp_path / "here" / "x" / "dt=2026-03-01").exists()


def test_bytes_that_are_not_those_that_were_uploaded_are_refused(open_s3, tmp_path):
    store = open_s3("moto")
    (tmp_path / "file").write_bytes(b"content")
    store.put_file(tmp_path / "file", KEY)
    place = {"Bucket": store.bucket.name, "Key": store.bucket.prefix + KEY}
    metadata = store.bucket.client.head_object(**place)["Metadata"]
    store.bucket.client.put_object(**place, Body=b"changed", Metadata=metadata)
    with pytest.raises(LakeError, match="not those that were stored"):
        store.local_path(KEY)


def test_a_store_that_throttles_is_asked_again_until_it_answers(make_bucket, moto, monkeypatch, tmp_path, quick):
    name = make_bucket("moto")
    with faulty(moto) as (endpoint, faults):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        store = S3Store(Bucket(name, ""), tmp_path)
        (tmp_path / "file").write_bytes(b"content")
        for request in (
            lambda: store.put_file(tmp_path / "file", KEY),
            lambda: store.read_bytes(KEY),
            lambda: store.local_path(KEY),
            lambda: store.list(""),
            lambda: store.copies(""),
            lambda: store.delete([KEY]),
        ):
            faults.throttled = 3
            request()
        assert faults.refused == 18
        faults.throttled = 1000
        with pytest.raises(LakeError, match=f"cannot read {KEY}: SlowDown; the store is overloaded"):
            store.read_bytes(KEY)


def test_a_body_that_breaks_off_is_read_again_and_never_taken_for_whole(
    make_bucket, moto, monkeypatch, tmp_path, quick
):
    name = make_bucket("moto")
    with faulty(moto) as (endpoint, faults):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        store = S3Store(Bucket(name, ""), tmp_path / "cache")
        (tmp_path / "file").write_bytes(b"content" * 1000)
        store.put_file(tmp_path / "file", KEY)
        faults.truncated = 2
        assert store.read_bytes(KEY) == b"content" * 1000
        faults.truncated = 2
        assert store.local_path(KEY).read_bytes() == b"content" * 1000
        assert faults.refused >= 3
        store.delete([KEY])
        store.put_file(tmp_path / "file", KEY)
        monkeypatch.setattr(reading, "ATTEMPTS", 1)
        faults.truncated = 10_000
        with pytest.raises(LakeError, match=f"cannot read {KEY}"):
            store.local_path(KEY)
        assert [path for path in (tmp_path / "cache").rglob("*.parquet") if path.is_file()] == []


def test_a_refusal_names_the_store_the_code_and_the_fix_but_no_credential(make_bucket, monkeypatch, tmp_path):
    make_bucket("moto")
    store = open_store("s3://no-such-bucket/lake", tmp_path)
    with pytest.raises(LakeError) as caught:
        store.write_bytes("a", b"")
    assert str(caught.value) == (
        "s3://no-such-bucket/lake: cannot write a: NoSuchBucket; create the bucket or correct MMOE_LAKE."
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(LakeError, match="NoCredentialsError; see AWS_ACCESS_KEY_ID"):
        open_store("s3://no-such-bucket/lake", tmp_path).read_bytes("a")


@pytest.mark.ceph
def test_a_clock_that_is_not_the_stores_is_named_as_the_cause(open_s3, monkeypatch):
    store = open_s3("ceph")
    now = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda **how: now(**how) + timedelta(hours=1))
    with pytest.raises(LakeError, match="RequestTimeTooSkewed; this machine's clock is not the store's; synchronise"):
        store.read_bytes(KEY)


def test_a_full_disk_leaves_no_half_copy_of_a_download(open_s3, tmp_path):
    store = open_s3("moto")
    store.write_bytes(KEY, bytes(2000))
    full = f"""
import resource, signal
from pathlib import Path
from mmoe.errors import LakeError
from mmoe.lake.store import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    open_store({store.bucket.url!r}, Path({str(tmp_path / "full")!r})).local_path({KEY!r})
except LakeError as error:
    print(error)
"""
    finished = subprocess.run([sys.executable, "-c", full], check=True, capture_output=True, text=True)
    assert finished.stdout == f"{KEY}: cannot be written at {tmp_path / 'full'}: File too large.\n"
    assert list((tmp_path / "full").rglob("*.parquet")) == []


@pytest.mark.parametrize("kind", EVERY_S3)
def test_a_swap_whose_answer_got_lost_and_that_was_repeated_has_happened(open_s3, kind, monkeypatch):
    store = open_s3(kind)
    store.write_bytes("manifest", b"old")
    assert store.capabilities
    put = store.bucket.client.put_object

    def twice(**request):
        put(**request)
        return put(**request)

    monkeypatch.setattr(store.bucket.client, "put_object", twice)
    assert store.swap_bytes("manifest", b"old", b"new")
    assert store.read_bytes("manifest") == b"new"


@pytest.mark.parametrize("kind", EVERY_S3)
def test_a_lock_passes_on_when_its_holder_is_killed(open_s3, kind):
    store = open_s3(kind, lock_ttl=1.5)
    killed = f"""
import os
from pathlib import Path
from mmoe.lake.store import open_store
with open_store({store.bucket.url!r}, Path("unused")).lock("lake"):
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -9
    begun = time.monotonic()
    with store.lock("lake"):
        assert time.monotonic() - begun > 1.5
    assert list(store.bucket.versions("_locks/")) == []


def test_a_holder_that_renews_keeps_its_lock_longer_than_a_ticket_lasts(open_s3, tmp_path):
    store = open_s3("moto", lock_ttl=3.0)  # long enough for a machine under load to renew in half of it
    other = S3Store(store.bucket, tmp_path / "other", lock_ttl=3.0)
    order = []
    with ThreadPoolExecutor(1) as pool:
        with store.lock("lake"):
            waiting = pool.submit(take, other, order)
            time.sleep(4)
            store.write_bytes("a", b"")
            order.append("holder")
        waiting.result()
    assert order == ["holder", "waiter"]


def test_a_holder_that_was_away_too_long_writes_nothing_more(open_s3, tmp_path):
    store = open_s3("moto versioned", lock_ttl=1.0)
    other = S3Store(store.bucket, tmp_path / "other", lock_ttl=1.0)
    store.write_bytes("manifest", b"old")
    with store.lock("lake"):
        store._locks._held["lake"]._left.set()  # no renewal any more, as on a paused machine
        with ThreadPoolExecutor(1) as pool:
            pool.submit(take, other, []).result()
        for refused in (
            lambda: store.write_bytes("manifest", b"stale"),
            lambda: store.swap_bytes("manifest", b"old", b"stale"),
            lambda: store.delete(["manifest"]),
            lambda: store.purge(store.copies("")),
        ):
            with pytest.raises(LakeError, match="the lock 'lake' was lost"):
                refused()
    assert store.read_bytes("manifest") == b"waiter"


@pytest.mark.parametrize("kind", EVERY_S3)
def test_a_writer_that_does_not_know_that_its_lock_is_gone_cannot_swap_over_its_successor(open_s3, kind, monkeypatch):
    store = open_s3(kind)
    store.write_bytes("manifest", b"old")
    can = store.capabilities
    read = store.bucket.get

    def overtaken(key):
        """The successor writes between the stale writer's look and its write."""
        found = read(key)
        monkeypatch.setattr(store.bucket, "get", read)
        store.write_bytes("manifest", b"successor")
        return found

    monkeypatch.setattr(store.bucket, "get", overtaken)
    assert not swap.swap(store.bucket, can, "manifest", b"old", b"stale")
    assert store.read_bytes("manifest") == b"successor"
