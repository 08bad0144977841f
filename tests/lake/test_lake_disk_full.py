"""A disk that fills up: a limit on the size of files, which the kernel enforces in the middle of a write."""

import os
import resource
import signal

import pytest
from handmade import DAY, SCHEMA, deliver, raw_rows

from mmoe.errors import LakeError
from mmoe.lake.ingest import stage_day


def staged_with(limit, store, landing):
    """Ingest in a process of its own; its exit code is 0 done, 3 refused by the disk, 1 anything else."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            stage_day(store, landing, SCHEMA, DAY, limit=20_000)
            os._exit(0)
        except (OSError, LakeError):
            os._exit(3)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("limit", [0, 1_000, 20_000])
def test_ingest_on_a_full_disk_fails_and_leaves_nothing_half(store, landing, limit):
    deliver(landing, raw_rows(rows=2_000))
    before = sorted(landing.rglob("*"))
    assert staged_with(limit, store, landing) == 3
    assert sorted(landing.rglob("*")) == before
    assert not [entry for entry in store.list("") if entry.key.endswith("staged.json")]
    assert staged_with(resource.RLIM_INFINITY, store, landing) == 0
    assert stage_day(store, landing, SCHEMA, DAY).rows == 2_000
