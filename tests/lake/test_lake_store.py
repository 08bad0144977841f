import subprocess
import sys

import pytest

from mmoe.errors import LakeError, SettingsError
from mmoe.lake.store import open_store


def test_a_write_replaces_the_whole_object_and_leaves_nothing_aside(store):
    assert store.read_bytes("a/b") is None
    store.write_bytes("a/b", b"one")
    store.write_bytes("a/b", b"two")
    assert store.read_bytes("a/b") == b"two"
    assert [entry.key for entry in store.list("")] == ["a/b"]


def test_a_conditional_write_has_one_winner(store):
    assert store.write_bytes("claim", b"mine", if_absent=True)
    assert not store.write_bytes("claim", b"yours", if_absent=True)
    assert store.read_bytes("claim") == b"mine"


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
