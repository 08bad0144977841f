"""Trainings of a small lake by two real processes over gloo; run as a process of its own, see test_distributed.py.

Reads one JSON object from stdin: params, schema, lake, rows, output, shard_rows. Prints how its trainings ended, one of
them killed wherever KILLS say.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch
import torch._dynamo
import torch.distributed

from mmoe.config import Params
from mmoe.data.moments import measure_moments
from mmoe.data.stream import stream_batches
from mmoe.lake.manifest import file_digest
from mmoe.lake.reader import Partition
from mmoe.model.network import build_network
from mmoe.schema import Schema
from mmoe.train import checkpoint, once, resume
from mmoe.train.batch import train_batch
from mmoe.train.device import cpu_threads
from mmoe.train.distributed import processes
from mmoe.train.incremental import train_incremental
from mmoe.train.loop import Loop
from mmoe.train.objective import Objective
from mmoe.train.optim import Optimizer
from mmoe.train.passes import HeldOut
from mmoe.train.resume import Cadence, Checkpoints
from mmoe.train.sharding import build_optimizer, shared_out
from mmoe.train.spec import network_spec

job = json.load(sys.stdin)
params, schema = Params.model_validate(job["params"]), Schema.model_validate(job["schema"])
out = Path(job["output"])
files = sorted(Path(job["lake"]).glob("dt=*/part-0.parquet"))
days = [
    Partition(day=date.fromisoformat(file.parent.name[3:]), digest=file_digest(file), files=(file,), rows=job["rows"])
    for file in files
]


def forked(world: int, work: Callable[[int], None]) -> list[int]:
    """Run `work` in `world` processes; how each ended. When one is killed, so are the others, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            os.environ["RANK"] = str(rank)
            work(rank)
            os._exit(0)
        children.append(child)
    first, status = os.wait()
    for child in children:
        if child != first:
            if status:
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return [status]


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies(owner: object, name: str, *, call: int = 1, after: bool = True) -> None:
    """Make this process die in a call of what is named so, before or after it did its work."""
    work, calls = getattr(owner, name), []

    def work_and_die(*arguments, **options):
        calls.append(name)
        if len(calls) == call and not after:
            die()
        found = work(*arguments, **options)
        if len(calls) == call and after:
            die()
        return found

    setattr(owner, name, work_and_die)


KILLS: dict[str, tuple[int, Callable[[], None]]] = {
    "after a step": (1, lambda: dies(Loop, "_learn", call=8)),
    "before a checkpoint": (1, lambda: dies(Checkpoints, "write", call=2, after=False)),
    "before the first one's rename": (0, lambda: dies(resume, "write_tensors", call=4 if job["shard_rows"] else 2)),
    "before old rows are removed": (0, lambda: dies(Checkpoints, "_remove_rows", call=2, after=False)),
    "while the model is written": (0, lambda: dies(checkpoint, "write_tensors")),
    "before it gives the model its rows": (1, lambda: dies(once, "save_trainable", after=False)),
}
"""Which process dies where. Each time the training has gone on from the checkpoint that the one before left."""
OF_PASSES: dict[str, tuple[int, Callable[[], None]]] = {
    "after a second pass": (1, lambda: dies(Loop, "_judge", call=2)),
    "in a third pass": (0, lambda: dies(Loop, "_learn", call=30)),
}
"""The latter has gone on from a checkpoint of the second."""
if job["shard_rows"]:
    KILLS = {"with its rows written": (1, lambda: dies(resume, "write_tensors", call=2))} | KILLS


def train(name: str, kill: str = "", kind: str = "batch") -> Callable[[int], None]:
    def work(rank: int) -> None:
        if kill and rank == (KILLS | OF_PASSES)[kill][0]:
            (KILLS | OF_PASSES)[kill][1]()
        with processes(job["shard_rows"]) as group:
            common = {"schema": schema, "params": params, "threads": 1, "cadence": Cadence(steps=3), "group": group}
            if kind == "batch":
                normed = params.model.model_copy(update={"normalization": "batch"})
                model = normed if name.startswith("normed") else params.model
                if name.startswith("patient"):
                    more = {"epochs": 4, "patience": 2}
                    common["params"] = params.model_copy(update={"train": params.train.model_copy(update=more)})
                held_out = HeldOut(partition=days[2])
                train_batch(**common, model=model, partitions=days[:2], held_out=held_out, output=out / name)
            else:
                start = out / ("normed" if name.endswith("normed") else "two")
                train_incremental(**common, start=start, partitions=days[2:], output=out / name)

    return work


def killed(name: str, kills: Iterable[str]) -> list[int]:
    """How a training ended that was killed at one place after the other, and then not."""
    found = [forked(2, train(name, kill)) for kill in kills]
    return [status for ended in (*found, forked(2, train(name))) for status in ended]


def starts(rank: int) -> None:
    """Writes whether the tables that are shared out start as those of one process, and a mean of what each holds."""
    spec = network_spec(schema, params.model)
    with processes(job["shard_rows"]) as group:
        rates = {"dense_lr": 0.01, "embedding_lr": 0.2, "weight_decay": 0.01, "clip_norm": 0.5}
        network = build_network(spec, seed=3, apart_from=group.apart_from)
        found = network.state_dict() | whole(build_optimizer(network, group, **rates))["weights"]
        statistics = [torch.full((2,), 1.0 + rank), torch.full((1, 3), 10.0 + rank)]
        group.average(statistics, share=(0.25, 0.75)[rank])
    (out / f"averaged-{rank}.json").write_text(json.dumps([each.tolist() for each in statistics]))
    if rank == 0:
        alone = build_network(spec, seed=3).state_dict()
        same = found.keys() == alone.keys() and all(torch.equal(found[name], each) for name, each in alone.items())
        (out / "starts.json").write_text(json.dumps(same))


def whole(optimizer: Optimizer) -> dict[str, dict[str, torch.Tensor]]:
    """The shared out tables and their sums in one piece, on the first process."""
    found: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "optimizer": {}}
    for name, blocks in shared_out(optimizer).items():
        for part, key, own in (("weights", name, blocks.weight), ("optimizer", f"adagrad.{name}", blocks.sums)):
            pieces = list(blocks.whole(own).pieces())
            found[part] |= {key: torch.cat(pieces)} if pieces else {}
    return found


def same_batches(name: str) -> Callable[[int], None]:
    """Every process learns its rows of the batches that a single one has whole; writes the curve and the weights."""

    def work(rank: int) -> None:
        moments = measure_moments(days[:2], schema)
        spec = network_spec(schema, params.model.model_copy(update={"dropout": 0.0}))
        rates = {"dense_lr": 0.01, "embedding_lr": 0.2, "weight_decay": 0.01, "clip_norm": 0.5}
        with processes(job["shard_rows"]) as group, cpu_threads(1):
            network = build_network(spec, seed=3, apart_from=group.apart_from)
            optimizer = build_optimizer(network, group, **rates)

            def stream(start):
                batches = stream_batches(days[:2], schema, moments, batch_size=128, start=start)
                for number, batch in enumerate(batches):
                    # an uneven share: the first process takes a third more rows, and in the end all of them
                    bound = len(batch) * 2 // 3 if number < 20 else len(batch)
                    part = ((0, len(batch)),) if group.world == 1 else ((0, bound), (bound, len(batch)))
                    if part[group.rank][0] < len(batch):
                        yield part_of(batch, *part[group.rank])

            fit = Loop(
                network=network,
                optimizer=optimizer,
                objective=Objective(heads=schema.heads, head_weights={"hide": 0.5}),
                precision="float32",
                rows_planned=sum(day.rows for day in days[:2]),
                batch_size=128,
                seed=1,
                checkpoints=Checkpoints(path=out / f"{name}.checkpoint", inputs=name, cadence=Cadence(seconds=1e9)),
                group=group,
            ).run(stream)
            held = {name: len(blocks.weight) for name, blocks in shared_out(optimizer).items()}
            tables = whole(optimizer)
        weights, optimized = network.state_dict() | tables["weights"], optimizer.state() | tables["optimizer"]
        found = {
            "held": held,
            "curve": [point.model_dump(mode="json") for point in fit.curve],
            "weights": {key: value.flatten().tolist() for key, value in weights.items()},
            "optimizer": {key: value.flatten().tolist() for key, value in optimized.items()},
        }
        (out / f"{name}-{rank}.json").write_text(json.dumps(found))

    return work


def part_of(batch, first: int, last: int):
    """The batch's rows from `first` up to `last`."""
    bounds = [torch.cat([offsets, torch.tensor([len(values)])]) for values, offsets in
              zip(batch.bag_values, batch.bag_offsets, strict=True)]  # fmt: skip
    return replace(
        batch,
        words=batch.words[first:last].clone(),
        bag_values=tuple(v[b[first] : b[last]] for v, b in zip(batch.bag_values, bounds, strict=True)),
        bag_offsets=tuple(b[first:last] - b[first] for b in bounds),
    )


out.mkdir()
ended = {
    "one": forked(1, train("one")),
    "two": forked(2, train("two")),
    "killed": killed("again", KILLS),
    "normed": forked(2, train("normed")),
    "normed killed": killed("normed again", ["after a step"]),
    "daily-normed": forked(2, train("daily-normed", kind="incremental")),
    "starts": forked(2, starts),
    "daily-1": forked(1, train("daily-1", kind="incremental")),
    "daily-2": forked(2, train("daily-2", kind="incremental")),
    "same-1": forked(1, same_batches("same-1")),
    "same-2": forked(2, same_batches("same-2")),
}
if not job["shard_rows"]:
    ended |= {"patient": forked(2, train("patient")), "patient killed": killed("patient again", OF_PASSES)}
print(json.dumps(ended))
