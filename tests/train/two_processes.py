"""Trainings of a small lake by two real processes over gloo; run as a process of its own, see test_distributed.py.

Reads one JSON object from stdin: params, schema, lake, rows, output, shard_rows. Prints how its trainings ended.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
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
from mmoe.train import loop as loop_module
from mmoe.train.batch import train_batch
from mmoe.train.distributed import processes
from mmoe.train.loop import Loop, cpu_threads
from mmoe.train.objective import Objective
from mmoe.train.optim import Optimizer
from mmoe.train.resume import Cadence, Checkpoints
from mmoe.train.sharding import RowBlocks, ShardedOptimizer, build_optimizer, made_whole
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


def train(name: str, die_at: int | None = None) -> Callable[[int], None]:
    def work(rank: int) -> None:
        learn = Loop._learn

        def learn_and_die(self, batch, together):
            learn(self, batch, together)
            if rank == 1 and self._step == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

        loop_module.Loop._learn = learn_and_die
        with processes(job["shard_rows"]) as group:
            train_batch(
                schema=schema, model=params.model, params=params, partitions=days, output=out / name, threads=1,
                cadence=Cadence(steps=3), group=group,
            )  # fmt: skip

    return work


def same_batches(name: str) -> Callable[[int], None]:
    """Every process learns its rows of the batches that a single one has whole; writes the curve and the weights."""

    def work(rank: int) -> None:
        moments = measure_moments(days, schema)
        network = build_network(network_spec(schema, params.model.model_copy(update={"dropout": 0.0})), seed=3)
        rates = {"dense_lr": 0.01, "embedding_lr": 0.2, "weight_decay": 0.01, "clip_norm": 0.5}
        with processes(job["shard_rows"]) as group, cpu_threads(1):
            optimizer = build_optimizer(network, group, **rates)

            def stream(start):
                batches = stream_batches(days, schema, moments, batch_size=128, start=start)
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
                rows_planned=sum(day.rows for day in days),
                batch_size=128,
                seed=1,
                checkpoints=Checkpoints(path=out / f"{name}.checkpoint", inputs=name, cadence=Cadence(seconds=1e9)),
                group=group,
            ).run(stream)
            optimized = optimizer.state()
            held = {name: len(blocks.weight) for name, blocks in shared(optimizer).items()}
            made_whole(network)
        found = {
            "held": held,
            "curve": [point.model_dump(mode="json") for point in fit.curve],
            "weights": {key: value.flatten().tolist() for key, value in network.state_dict().items()},
            "optimizer": {key: value.flatten().tolist() for key, value in optimized.items()},
        }
        (out / f"{name}-{rank}.json").write_text(json.dumps(found))

    return work


def shared(optimizer: Optimizer) -> dict[str, RowBlocks]:
    return optimizer.blocks if isinstance(optimizer, ShardedOptimizer) else {}


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
    "killed": forked(2, train("again", die_at=8)),
    "again": forked(2, train("again")),
    "same-1": forked(1, same_batches("same-1")),
    "same-2": forked(2, same_batches("same-2")),
}
print(json.dumps(ended))
