"""What only a local folder does: leftovers of killed writers, full disks."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmoe.errors import LakeError, SettingsError
from mmoe.lake.store import open_store


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


def test_an_address_of_no_store_is_refused_with_the_setting_that_gave_it():
    with pytest.raises(SettingsError, match=r"MMOE_LAKE='gs://bucket/lake': not a lake's address"):
        open_store("gs://bucket/lake")
    with pytest.raises(SettingsError, match=r"MMOE_LAKE='s3://Bucket': not a lake's address"):
        open_store("s3://Bucket")


def test_delete_removes_folders_that_become_empty(store):
    store.write_bytes("x/dt=1/a", b"")
    store.delete(["x/dt=1/a"])
    assert not (store.root / "x" / "dt=1").exists()
