"""mmoe.train.resume: a training killed anywhere goes on to the same bits; a checkpoint is whole, and its own."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mmoe.data.order import Position
from mmoe.errors import CorruptionError, TrainingError
from mmoe.train.distributed import Processes
from mmoe.train.divergence import Steady
from mmoe.train.resume import Cadence, Checkpoint, Checkpoints, Progressed
from mmoe.train.state import read_state

DAYS = ["2026-03-01", "2026-03-02"]
FILES = ("weights.safetensors", "optimizer.safetensors", "state.json")
KILLS = {
    "batch": [{"step": 1}, {"step": 8}, {"writing": 1}, {"writing": 3}, {"saving": 1}],
    "incremental": [{"step": 5}, {"writing": 1}],
    "replaying": [{"step": 7}],
    "patient": [{"step": 5}, {"step": 6}, {"step": 7}, {"step": 17}, {"writing": 3}, {"writing": 5}, {"saving": 1}],
}


@pytest.fixture
def killed_runs(tmp_path, make_partition, params, small_schema):
    """killed_runs(runs) -> how often each run died; the models then lie in tmp_path/out."""
    for day in DAYS:
        make_partition(date.fromisoformat(day), rows=700)
    job = {
        "params": params.model_dump(mode="json"),
        "schema": small_schema.model_dump(mode="json"),
        "lake": str(tmp_path / "lake"),
        "output": str(tmp_path / "out"),
        "rows": 700,
    }
    job["params"]["model"]["normalization"] = "batch"
    job["params"]["train"]["epochs"] = 2
    job["params"]["train"]["optimizer"] |= {"embedding_l2": 0.01, "decay_share": 0.5}
    job["params"]["incremental"]["replay"] = {"days": 1, "share": 0.4}

    def run(runs) -> list[int]:
        script = Path(__file__).with_name("killed_training.py")
        content = json.dumps(job | {"runs": runs})
        done = subprocess.run([sys.executable, script], input=content, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.e2e
def test_a_training_killed_anywhere_ends_as_if_it_had_not_been(killed_runs, tmp_path) -> None:
    """Batch: 2 epochs of 6 steps, checkpoints every 3; incremental on top of it: 6 steps, and about 8 with replay.
    Patient: up to 5 epochs, of which the best on another day is kept."""
    days = {"batch": (DAYS[:1], []), "incremental": (DAYS[1:], []), "replaying": (DAYS[1:], DAYS[:1])}
    days["patient"] = days["batch"]
    runs = [
        {"kind": kind, "name": f"{kind}{number or ''}", "kill": kill, "days": new, "replayed": replayed}
        | ({"held_out": DAYS[1]} if kind == "patient" else {})
        for kind, (new, replayed) in days.items()
        for number, kill in enumerate([None, *KILLS[kind]])
    ]
    died = killed_runs(runs)
    assert died == [int(run["kill"] is not None) for run in runs]
    out = tmp_path / "out"
    for run in runs:
        for name in FILES:
            whole, again = out / run["kind"] / name, out / run["name"] / name
            assert whole.read_bytes() == again.read_bytes(), (run, name)
    assert len(read_state(out / "patient").stages[0].passes) >= 3
    assert sorted(path.name for path in out.iterdir()) == sorted(run["name"] for run in runs)  # no checkpoint is left


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    return Checkpoints(path=tmp_path / "x.checkpoint.safetensors", inputs="mine", cadence=Cadence(steps=10))


def checkpoint(inputs: str = "mine", step: int = 3) -> Checkpoint:
    progressed = Progressed(
        inputs=inputs, step=step, rows=300, seconds=1.5, positions=(Position(epoch=1, window=2, row=7),),
        steady=Steady(smoothed=0.7, lowest=0.1 + 0.2, good_step=3, good_loss=0.7), points=(),
    )  # fmt: skip
    tensors = {"weights.a": torch.arange(6.0).view(2, 3), "weights.b.c": torch.tensor(1.5), "random": torch.ones(1, 4)}
    return Checkpoint(progressed=progressed, tensors=tensors)


def test_what_was_written_is_read_back_exactly(checkpoints) -> None:
    checkpoints.write(checkpoint())
    found = checkpoints.read()
    assert found.progressed == checkpoint().progressed
    assert found.part("weights").keys() == {"a", "b.c"}
    assert all(torch.equal(tensor, found.tensors[name]) for name, tensor in checkpoint().tensors.items())


def test_it_says_what_it_is(checkpoints) -> None:
    checkpoints.write(checkpoint())
    with safe_open(checkpoints.path, framework="pt") as file:
        header = json.loads(file.metadata()["mmoe_checkpoint"])
    assert header["inputs"] == "mine" and header["step"] == 3 and header["positions"][0]["row"] == 7


def test_another_plans_checkpoint_is_not_gone_on_from(checkpoints) -> None:
    assert checkpoints.read() is None
    checkpoints.write(checkpoint())
    checkpoints.inputs = "another's"
    assert checkpoints.read() is None


def test_one_of_other_processes_or_of_other_shared_out_tables_is_refused_with_what_to_set(checkpoints) -> None:
    checkpoints.write(checkpoint())
    with pytest.raises(TrainingError, match=r"written by 1 processes, and these are 2; set MMOE_TRAIN_PROCESSES=1, or"):
        checkpoints.read(group=Processes(world=2))
    with pytest.raises(TrainingError, match=r"0 tensors were shared out .* now 1 are; set MMOE_SHARD_ROWS as it was"):
        checkpoints.read({"weights.table": torch.zeros(2, 3)})


def shared(value: float) -> dict[str, torch.Tensor]:
    return {"weights.table": torch.full((5, 2), value), "optimizer.adagrad.table": torch.full((5,), value)}


def test_rows_of_shared_out_tables_are_read_back_into_their_place_and_older_ones_are_removed(checkpoints) -> None:
    for step in (3, 6):
        checkpoints.write(checkpoint(step=step), shared(step))
    found = shared(0.0)
    assert checkpoints.read(found).progressed.step == 6
    assert all(torch.equal(found[name], rows) for name, rows in shared(6).items())
    assert sorted(checkpoints.path.parent.iterdir()) == sorted([checkpoints.path, checkpoints.rows_path(6, 0)])
    checkpoints.remove()
    assert list(checkpoints.path.parent.iterdir()) == []


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x")])
def test_lost_or_changed_rows_are_corruption(checkpoints, damage) -> None:
    checkpoints.write(checkpoint(), shared(1.0))
    damage(checkpoints.rows_path(3, 0))
    with pytest.raises(CorruptionError, match=r"rows-mine-3-0\.safetensors: absent, or its bytes .*remove it to train"):
        checkpoints.read(shared(0.0))


@pytest.mark.parametrize("place", [-1, 300])
def test_a_changed_byte_is_corruption_and_the_message_says_what_to_do(checkpoints, place) -> None:
    checkpoints.write(checkpoint())
    content = bytearray(checkpoints.path.read_bytes())
    content[place] ^= 1
    checkpoints.path.write_bytes(content)
    with pytest.raises(CorruptionError, match=r"checkpoint\.safetensors: .*remove it to train from the first row"):
        checkpoints.read()


def test_a_file_that_is_no_checkpoint_is_corruption(checkpoints) -> None:
    checkpoints.path.write_bytes(b"half a file")
    with pytest.raises(CorruptionError, match="no readable checkpoint"):
        checkpoints.read()


def test_checkpoints_are_due_by_steps_and_by_the_clock(checkpoints) -> None:
    assert [step for step in range(1, 31) if checkpoints.due(step)] == [10, 20, 30]
    assert Checkpoints(path=checkpoints.path, inputs="", cadence=Cadence(seconds=0)).due(1)
    assert not Checkpoints(path=checkpoints.path, inputs="", cadence=Cadence(seconds=60)).due(1)
