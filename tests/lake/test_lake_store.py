"""The conformance suite: what every store must do, against a folder, moto and Ceph, with and without versions."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from every_store import EVERY_STORE

from mmoe.errors import LakeError

pytestmark = pytest.mark.parametrize("lake_url", EVERY_STORE, indirect=True)


def keys(store, prefix=""):
    return [entry.key for entry in store.list(prefix)]


def in_a_process(lake_url, cache, body):
    """Run `body` with the store as `store`, in a process of its own."""
    opened = f"""
from pathlib import Path
from mmoe.lake.store import open_store
store = open_store({lake_url!r}, Path({str(cache)!r}))
"""
    return subprocess.Popen([sys.executable, "-c", opened + body])


def test_a_write_replaces_the_whole_object(any_store):
    assert any_store.read_bytes("a/b") is None
    any_store.write_bytes("a/b", b"one")
    any_store.write_bytes("a/b", b"two")
    assert any_store.read_bytes("a/b") == b"two"
    assert keys(any_store) == ["a/b"]


def test_a_file_is_stored_and_read_back_as_a_local_file(any_store, tmp_path):
    (tmp_path / "source").write_bytes(b"first")
    any_store.put_file(tmp_path / "source", "x/dt=1/part.parquet")
    path = any_store.local_path("x/dt=1/part.parquet")
    assert (path.read_bytes(), path.name) == (b"first", "part.parquet")
    assert "dt=1" in path.parts
    (tmp_path / "source").write_bytes(b"second")
    any_store.put_file(tmp_path / "source", "x/dt=1/part.parquet")
    assert any_store.local_path("x/dt=1/part.parquet").read_bytes() == b"second"
    assert any_store.read_bytes("x/dt=1/part.parquet") == b"second"


def test_a_writer_that_does_not_commit_leaves_nothing(any_store, tmp_path):
    with any_store.writer("x/dt=1/a") as (path, _):
        path.write_bytes(b"half")
    with pytest.raises(RuntimeError), any_store.writer("x/dt=1/a") as (path, _):
        path.write_bytes(b"half")
        raise RuntimeError
    assert any_store.copies("") == ()
    assert [file for file in tmp_path.rglob("*") if file.is_file() and file.name == "a"] == []


def test_a_writer_that_commits_makes_the_object(any_store):
    with any_store.writer("x/dt=1/a") as (path, commit):
        path.write_bytes(b"whole")
        assert keys(any_store) == []
        commit()
    assert any_store.read_bytes("x/dt=1/a") == b"whole"
    assert any_store.local_path("x/dt=1/a").read_bytes() == b"whole"


def test_a_swap_needs_the_bytes_that_its_writer_knew(any_store):
    assert not any_store.swap_bytes("claim", b"", b"yours")
    assert any_store.swap_bytes("claim", None, b"mine")
    assert not any_store.swap_bytes("claim", None, b"yours")
    assert not any_store.swap_bytes("claim", b"other", b"yours")
    assert any_store.swap_bytes("claim", b"mine", b"yours")
    assert any_store.read_bytes("claim") == b"yours"
    any_store.delete(["claim"])
    assert not any_store.swap_bytes("claim", b"yours", b"mine")
    assert any_store.swap_bytes("claim", None, b"again")


@pytest.mark.parametrize("old", [None, b"old"])
def test_of_many_swaps_at_once_one_wins(any_store, old):
    if old is not None:
        any_store.write_bytes("claim", old)
    ready = threading.Barrier(6)

    def swap(number):
        ready.wait()
        return any_store.swap_bytes("claim", old, b"%d" % number)

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(swap, range(6)))
    assert sum(won) == 1
    assert any_store.read_bytes("claim") == b"%d" % won.index(True)


def test_list_takes_any_key_prefix_and_sorts(any_store):
    for key in ("x/dt=2/b", "x/dt=1/a", "x/dt=10/a", "y/a"):
        any_store.write_bytes(key, b"1234")
    assert keys(any_store, "x/dt=1") == ["x/dt=1/a", "x/dt=10/a"]
    assert keys(any_store, "x/dt=1/") == ["x/dt=1/a"]
    assert [entry.size for entry in any_store.list("y/a")] == [4]
    assert any_store.list("absent/") == ()


def test_delete_ends_what_readers_see_and_forgives_absence(any_store):
    any_store.write_bytes("x/dt=1/a", b"1")
    any_store.delete(["x/dt=1/a", "x/dt=1/never"])
    assert any_store.read_bytes("x/dt=1/a") is None
    assert any_store.list("") == ()
    with pytest.raises(LakeError, match="no such object"):
        any_store.local_path("x/dt=1/a")


def test_a_purge_of_all_copies_leaves_none_whatever_happened_to_the_key(any_store):
    for content in (b"one", b"two"):
        any_store.write_bytes("x/dt=1/a", content)
    any_store.delete(["x/dt=1/a"])
    any_store.write_bytes("x/dt=1/a", b"three")
    any_store.write_bytes("x/dt=1/b", b"gone")
    any_store.delete(["x/dt=1/b"])
    any_store.write_bytes("x/dt=10/a", b"another day")
    copies = any_store.copies("x/dt=1/")
    assert {copy.key for copy in copies if copy.kind == "object"} == {"x/dt=1/a"}
    any_store.purge(copies)
    assert any_store.copies("x/dt=1/") == ()
    assert keys(any_store) == ["x/dt=10/a"]
    any_store.purge(copies)


def test_a_key_cannot_lead_out_of_the_lake(any_store):
    for key in ("../outside", "a/../../outside"):
        with pytest.raises(LakeError, match="leads out of the lake"):
            any_store.write_bytes(key, b"")


def test_an_absent_object_has_no_local_path(any_store):
    with pytest.raises(LakeError, match="no such object"):
        any_store.local_path("absent")


def test_a_lock_lets_one_process_in_at_a_time(any_store, lake_url, tmp_path):
    any_store.write_bytes("count", b"0")
    body = """
for _ in range(3):
    with store.lock("lake"):
        store.write_bytes("count", b"%d" % (1 + int(store.read_bytes("count"))))
"""
    workers = [in_a_process(lake_url, tmp_path / "cache", body) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert any_store.read_bytes("count") == b"9"
    assert keys(any_store) == ["count"]


def test_locks_of_other_names_do_not_wait(any_store):
    with any_store.lock("one"), any_store.lock("another"):
        any_store.write_bytes("a", b"")
    assert keys(any_store) == ["a"]
    assert [copy.key for copy in any_store.copies("")] == ["a"]
