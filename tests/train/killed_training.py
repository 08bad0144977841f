"""Trainings of a small lake that die by SIGKILL where they are told to; run as a process of its own.

Reads one JSON object from stdin: params, schema, lake (folder of `dt=…/part-0.parquet`), output (folder), runs: a list
of {name, kind, days, replayed, kill, held_out}. `kill` is null, {"step": n}: right after step n, {"writing": n}: with
half of the n-th checkpoint written, or {"saving": 1}: with the finished model half written. With a day held out, the
best of up to five passes is kept. Each run is forked, and started again until it is done.
Prints one JSON list: how often each run died.
"""

import json
import os
import signal
import sys
from datetime import date
from pathlib import Path

import torch._dynamo  # noqa: F401  (what making an optimizer imports; once, not in each fork)

from mmoe.config import Params
from mmoe.lake.manifest import file_digest
from mmoe.lake.reader import Partition
from mmoe.schema import Schema
from mmoe.train import checkpoint, loop, resume
from mmoe.train.batch import train_batch
from mmoe.train.incremental import train_incremental
from mmoe.train.passes import HeldOut
from mmoe.train.resume import Cadence


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kill: dict) -> None:
    """Make this process die once, where `kill` says."""
    learn, save, save_model, written = loop.Loop._learn, resume.write_tensors, checkpoint.write_tensors, []

    def learn_and_die(self, batch, together):
        learn(self, batch, together)
        if self._step == kill.get("step"):
            die()

    def half_write_and_die(path, tensors, metadata):
        save(path, tensors, metadata)
        written.append(path)
        if len(written) == kill.get("writing"):
            os.truncate(path, path.stat().st_size // 2)
            die()

    def save_and_die(path, tensors):
        save_model(path, tensors)
        if kill.get("saving"):
            die()

    loop.Loop._learn, resume.write_tensors, checkpoint.write_tensors = learn_and_die, half_write_and_die, save_and_die


def train(job: dict, run: dict) -> None:
    params = Params.model_validate(job["params"])
    schema = Schema.model_validate(job["schema"])
    partitions, replayed = ([partition(job, day) for day in days] for days in (run["days"], run["replayed"]))
    common = {"schema": schema, "params": params, "partitions": partitions, "threads": 1, "cadence": Cadence(steps=3)}
    output = Path(job["output"]) / run["name"]
    if run["kind"] in ("batch", "patient"):
        held_out = HeldOut(partition=partition(job, run["held_out"])) if "held_out" in run else None
        patience = {"patience": 2, "epochs": 5} if held_out else {}
        patient = params.model_copy(update={"train": params.train.model_copy(update=patience)})
        train_batch(**common | {"params": patient}, model=params.model, held_out=held_out, output=output)
    else:
        train_incremental(**common, replayed=replayed, start=Path(job["output"]) / "batch", output=output)


def partition(job: dict, day: str) -> Partition:
    file = Path(job["lake"]) / f"dt={day}" / "part-0.parquet"
    return Partition(day=date.fromisoformat(day), digest=file_digest(file), files=(file,), rows=job["rows"])


def deaths(job: dict, run: dict) -> int:
    """Run it until it is done. It dies only the first time."""
    for attempt in range(3):
        child = os.fork()
        if child == 0:
            if run["kill"] and not attempt:
                arm(run["kill"])
            train(job, run)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return attempt
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            sys.exit(f"{run}: status {status}")
    sys.exit(f"{run}: died again without being told to")


if __name__ == "__main__":
    job = json.load(sys.stdin)
    print(json.dumps([deaths(job, run) for run in job["runs"]]))
