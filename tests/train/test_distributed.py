"""mmoe.train.distributed: two real processes over gloo learn what one does, stay equal, and go on after a kill."""

import json
import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from mmoe.errors import ConfigError
from mmoe.model.norms import running_statistics
from mmoe.train.checkpoint import load_trainable
from mmoe.train.distributed import Processes
from mmoe.train.state import read_state

FILES = ("weights.safetensors", "optimizer.safetensors", "state.json")
ROWS = 1500


@pytest.fixture
def trained_by_two(tmp_path, make_partition, params, small_schema, shard_rows):
    """The folder of what `two_processes.py` trained, and how each of its trainings ended."""
    if shard_rows:
        pytest.importorskip("torchrec", reason="the sharding extra is not installed: make test-sharding")
    for day in (date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)):
        make_partition(day, rows=ROWS)
    job = {
        "params": params.model_dump(mode="json"),
        "schema": small_schema.model_dump(mode="json"),
        "lake": str(tmp_path / "lake"),
        "output": str(tmp_path / "out"),
        "rows": ROWS,
        "shard_rows": shard_rows,
    }
    script = Path(__file__).with_name("two_processes.py")
    done = subprocess.run([sys.executable, script], input=json.dumps(job), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tmp_path / "out", json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("shard_rows", "held"),
    [
        (0, [{}, {}]),
        (400, [{"embeddings.tables.0.weight": 260}, {"embeddings.tables.0.weight": 260}]),
        (30, [{"embeddings.tables.0.weight": 260, "embeddings.bags.0.weight": 17},
              {"embeddings.tables.0.weight": 260, "embeddings.bags.0.weight": 16}]),
    ],
    ids=["each holds all tables", "the large table is sharded", "both tables are sharded"],
)  # fmt: skip
def test_two_processes_learn_what_one_does_and_go_on_after_a_kill(trained_by_two, held, shard_rows) -> None:
    out, ended = trained_by_two
    assert ended.pop("normed killed") == [signal.SIGKILL, 0]
    assert ended.pop("patient killed", None) == (None if shard_rows else [signal.SIGKILL, signal.SIGKILL, 0])
    *killed, last = ended.pop("killed")
    assert len(killed) >= 6 and set(killed) == {signal.SIGKILL} and last == 0
    assert set(map(tuple, ended.values())) == {(0,)}
    assert json.loads((out / "starts.json").read_text()) is True
    averaged = [json.loads((out / f"averaged-{rank}.json").read_text()) for rank in (0, 1)]
    assert averaged[0] == averaged[1] == [[1.75, 1.75], [[10.75, 10.75, 10.75]]]
    one, two = read_state(out / "one").stages[0], read_state(out / "two").stages[0]
    assert (one.processes, two.processes) == (1, 2)
    assert one.rows == two.rows == 2 * ROWS  # disjoint row groups, every row once
    late = [[point.auc["click"] for point in stage.curve[-6:]] for stage in (one, two)]
    assert np.mean(late[0]) == pytest.approx(np.mean(late[1]), abs=0.04) and np.mean(late[1]) > 0.7
    for name in FILES:
        assert (out / "two" / name).read_bytes() == (out / "again" / name).read_bytes(), name
    for name in FILES:
        assert (out / "normed" / name).read_bytes() == (out / "normed again" / name).read_bytes(), name
    normed = load_trainable(out / "normed").network
    assert all((each != 0).all() and (each != 1).all() for each in running_statistics(normed))
    assert load_trainable(out / "daily-normed").state.rows == 3 * ROWS
    for name in () if shard_rows else FILES:
        assert (out / "patient" / name).read_bytes() == (out / "patient again" / name).read_bytes(), name
    assert shard_rows or len(read_state(out / "patient").stages[0].passes) >= 3
    assert {path.suffix for path in out.iterdir()} == {"", ".json"}, "no checkpoint, nor what a kill left, is there"
    daily_1, daily_2 = (load_trainable(out / name) for name in ("daily-1", "daily-2"))
    assert daily_1.state.rows == daily_2.state.rows == 3 * ROWS
    assert daily_1.state.stages[0] == daily_2.state.stages[0] == two
    old, new_1, new_2 = (
        load_trainable(out / name).network.state_dict()["embeddings.tables.0.weight"]
        for name in ("two", "daily-1", "daily-2")
    )
    assert (new_1 != old).any(dim=1).sum() > 50
    untouched = (new_2 == old).all(dim=1)
    assert torch.equal(untouched, (new_1 == old).all(dim=1)), "the same rows were learned, from where they had been"
    torch.testing.assert_close(new_2, new_1, rtol=0, atol=0.5)

    alone, first, second = (json.loads((out / name).read_text()) for name in
                            ("same-1-0.json", "same-2-0.json", "same-2-1.json"))  # fmt: skip
    assert [alone["held"], first["held"], second["held"]] == [{}, *held]
    for part in ("weights", "optimizer"):  # of shared out tables the first process alone tells
        assert {name: first[part][name] for name in second[part]} == second[part]
        assert len(first[part]) - len(second[part]) == len(held[0])
    assert len(alone["curve"]) == len(first["curve"]) > 20
    for one_point, two_point in zip(alone["curve"], first["curve"], strict=True):
        assert one_point["rows"] == two_point["rows"]
        assert two_point["task"] == pytest.approx(one_point["task"], rel=1e-4)
        assert two_point["auc"] == pytest.approx(one_point["auc"], abs=2e-3)
    for part, tolerance in (("weights", 2e-4), ("optimizer", 2e-4)):
        assert alone[part].keys() == first[part].keys()
        for name, values in alone[part].items():
            np.testing.assert_allclose(first[part][name], values, rtol=1e-3, atol=tolerance, err_msg=name)


def test_a_process_whose_torchrun_died_while_it_started_ends_at_once() -> None:
    script = "from mmoe.train.distributed import processes\nwith processes(): pass"
    alone = os.environ | {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=alone | {"MMOE_LAUNCHER_PID": "1"}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert "torchrun (process 1) has died; run the training again." in done.stderr


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    assert Processes(rank=1, world=4).batch_size(1024) == 256
    with pytest.raises(ConfigError, match="batch_size=1000: give a multiple of the 3 processes"):
        Processes(rank=0, world=3).batch_size(1000)
