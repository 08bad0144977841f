import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmoe.errors import LakeError, SettingsError
from mmoe.lake.store import open_store


def test_a_write_replaces_the_whole_object_and_leaves_nothing_aside(store):
    assert store.read_bytes("a/b") is None
    store.write_bytes("a/b", b"one")
    store.write_bytes("a/b", b"two")
    assert store.read_bytes("a/b") == b"two"
    assert [entry.key for entry in store.list("")] == ["a/b"]


def test_a_swap_needs_the_bytes_that_its_writer_knew(store):
    assert store.swap_bytes("claim", None, b"mine")
    assert not store.swap_bytes("claim", None, b"yours")
    assert not store.swap_bytes("claim", b"other", b"yours")
    assert store.swap_bytes("claim", b"mine", b"yours")
    assert store.read_bytes("claim") == b"yours"


def test_of_many_swaps_at_once_one_wins(store):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: store.swap_bytes("claim", None, b"%d" % number), range(8)))
    assert sum(won) == 1
    assert store.read_bytes("claim") == b"%d" % won.index(True)


def test_an_unfinished_write_is_a_copy_but_no_object(store):
    store.write_bytes("x/dt=1/a", b"old")
    with store.writer("x/dt=1/a") as (path, _):
        path.write_bytes(b"newer")
        assert store.read_bytes("x/dt=1/a") == b"old"
        assert [entry.key for entry in store.list("")] == ["x/dt=1/a"]
        copies = store.copies("x/dt=1/")
        assert [(copy.key, copy.kind, copy.size) for copy in copies] == [
            ("x/dt=1/a", "object", 3),
            ("x/dt=1/a", "upload", 5),
        ]
        store.purge(copies)
        assert store.copies("") == ()
    store.purge(copies)


def test_a_purge_tries_everything_and_names_what_remains(store, monkeypatch):
    for name in "abc":
        store.write_bytes(f"x/{name}", b"")
    remove = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **options: refuse(path) if path.name == "b" else remove(path))
    with pytest.raises(LakeError, match=r"keeps what should go: x/b \(Permission denied\)"):
        store.purge(store.copies("x/"))
    assert [entry.key for entry in store.list("")] == ["x/b"]


def refuse(path):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def test_list_takes_any_key_prefix_and_sorts(store):
    for key in ("x/dt=2/b", "x/dt=1/a", "x/dt=10/a", "y/a"):
        store.write_bytes(key, b"1234")
    assert [entry.key for entry in store.list("x/dt=1")] == ["x/dt=1/a", "x/dt=10/a"]
    assert [entry.key for entry in store.list("x/dt=1/")] == ["x/dt=1/a"]
    assert [entry.size for entry in store.list("y/a")] == [4]
    assert store.list("absent/") == ()


def test_delete_removes_folders_that_become_empty_and_forgives_absence(store):
    store.write_bytes("x/dt=1/a", b"")
    store.delete(["x/dt=1/a", "x/dt=1/never"])
    assert not (store.root / "x" / "dt=1").exists()


def test_a_key_cannot_lead_out_of_the_lake(store):
    for key in ("../outside", "a/../../outside"):
        with pytest.raises(LakeError, match="leads out of the lake"):
            store.write_bytes(key, b"")


def test_an_absent_object_has_no_local_path(store):
    with pytest.raises(LakeError, match="no such object"):
        store.local_path("absent")


def test_s3_is_refused_with_the_setting_that_asked_for_it():
    with pytest.raises(SettingsError, match=r"MMOE_LAKE='s3://bucket/lake': s3:// is not supported yet"):
        open_store("s3://bucket/lake")


def test_a_lock_ends_with_its_process(store):
    holder = f"""
import os
from mmoe.lake.store import open_store
with open_store({str(store.root)!r}).lock("lake"):
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", holder], check=False).returncode == -9
    with store.lock("lake"):
        pass


def test_what_a_killed_writer_left_is_removed_by_the_next_write_but_not_a_living_one(store):
    killed = f"""
import os
from mmoe.lake.store import open_store
with open_store({str(store.root)!r}).writer("x/dt=1/dead") as (path, commit):
    path.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -9
    with store.writer("x/dt=1/living") as (path, commit):
        path.write_bytes(b"whole")
        store.write_bytes("x/dt=1/other", b"")
        assert [copy.key for copy in store.copies("")] == ["x/dt=1/living", "x/dt=1/other"]
        commit()
    assert store.read_bytes("x/dt=1/living") == b"whole"


def test_a_full_disk_leaves_the_old_object_and_nothing_half(store):
    store.write_bytes("x/dt=1/a", b"old")
    full = f"""
import resource, signal
from mmoe.errors import LakeError
from mmoe.lake.store import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    open_store({str(store.root)!r}).write_bytes("x/dt=1/a", bytes(2000))
except LakeError as error:
    print(error)
"""
    finished = subprocess.run([sys.executable, "-c", full], check=True, capture_output=True, text=True)
    assert finished.stdout == f"x/dt=1/a: cannot be written at {store.root}: File too large.\n"
    assert store.read_bytes("x/dt=1/a") == b"old"
    assert [copy.kind for copy in store.copies("")] == ["object"]
