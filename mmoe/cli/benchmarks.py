"""Benchmarks that print a table and end with one JSON line: the loader, a training, the peers beside it, a GPU."""

from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from mmoe.cli.common import finish

benchmarks = typer.Typer()
bench = typer.Typer(no_args_is_help=True, help="How fast it is on this machine.")
benchmarks.add_typer(bench, name="bench")

PeersRoot = Annotated[Path, typer.Option(envvar="PEERS_ROOT", help="Folder of the peers' workload.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads that a training computes on.")]


GPU_KEYS = ("equal", "difference", "precision", "ex_s", "floor_ex_s", "share")


class Ids(StrEnum):
    HASHED = "hashed"
    DENSE = "dense"


class Workload(StrEnum):
    DCNV2 = "dcnv2"
    MMOE = "mmoe"
    BOTH = "both"

    @property
    def models(self) -> list[str]:
        return ["dcnv2", "mmoe"] if self == Workload.BOTH else [self.value]


Model = Annotated[Workload, typer.Option(help="Which model.")]


@bench.command()
def loader(
    days: Annotated[int, typer.Option(min=1)] = 4,
    rows: Annotated[int, typer.Option(min=1, help="Rows a day.")] = 524_288,
    batch_size: Annotated[int, typer.Option(min=1)] = 4096,
    shuffle_rows: Annotated[int, typer.Option(min=0)] = 200_000,
    passes: Annotated[int, typer.Option(min=1)] = 5,
    ids: Annotated[Ids, typer.Option(help="How ids become embedding rows.")] = Ids.HASHED,
) -> None:
    """Rows a second of the loader alone: 30 categorical and 10 numeric features from zstd Parquet, shuffled."""
    from mmoe.data.benchmark import loader_rate
    from mmoe.train.device import keep_freed_memory

    keep_freed_memory()  # as every training does
    with TemporaryDirectory() as folder:
        rate = loader_rate(
            Path(folder),
            days=days,
            rows=rows,
            batch_size=batch_size,
            shuffle_rows=shuffle_rows,
            passes=passes,
            ids=ids.value,
        )
    finish({"bench": "loader", **rate.model_dump()})


@bench.command()
def train(
    peers_root: PeersRoot,
    threads: Threads = 1,
    model: Model = Workload.BOTH,
    seed: Annotated[int, typer.Option(help="Of the first weights and the order of rows.")] = 1,
) -> None:
    """Train on the peers' files: DCNv2, and MMoE with four experts."""
    from mmoe.steps.peers import own_process, train_rate

    if len(model.models) == 1:
        finish({"bench": "train", **train_rate(peers_root, model.value, threads=threads, seed=seed).model_dump()})
        return
    runs = {name: own_process(peers_root, name, threads, seed) for name in model.models}
    of_each = {key: {name: run[key] for name, run in runs.items()} for key in ("ex_s", "auc", "peak_mb", "precision")}
    finish({"bench": "train", "threads": threads, **of_each})


@bench.command()
def peers(
    peers_root: PeersRoot,
    threads: Threads = 1,
    model: Model = Workload.BOTH,
    rounds: Annotated[int, typer.Option(min=1, help="Paired runs.")] = 3,
) -> None:
    """Ours and the peers that are installed beside the workload, interleaved: medians, and ratios of paired runs."""
    from mmoe.steps.peers import compare

    table, result = compare(peers_root, model.models, threads=threads, rounds=rounds)
    of_each = {key: {f"{row['name']} {row['model']}": row[key] for row in table} for key in ("ex_s", "auc", "peak_mb")}
    finish({"bench": "peers", "threads": threads, "rounds": rounds, **result, **of_each})


@bench.command()
def gpu(rows: Annotated[int, typer.Option(min=4096, help="Rows of the workload.")] = 524_288) -> None:
    """A GPU beside the CPU: equal results within tolerance, examples a second over what its arithmetic allows."""
    import torch

    if not torch.cuda.is_available():
        finish({"bench": "gpu", "skipped": True, "why": "no CUDA device on this machine, or it is hidden from PyTorch"})
        return
    from mmoe.errors import EvaluationError
    from mmoe.steps.peers import LABELS, model_config
    from mmoe.train.gpu_benchmark import gpu_rate

    with TemporaryDirectory() as folder:
        rates = [gpu_rate(Path(folder), name, model_config(name), LABELS[name], rows=rows) for name in LABELS]
    of_each = {key: {rate.model: getattr(rate, key) for rate in rates} for key in GPU_KEYS}
    finish({"bench": "gpu", "skipped": False, "device": rates[0].device, **of_each})
    if not all(rate.equal for rate in rates):
        raise EvaluationError("bench gpu: results differ from the CPU's by more than the tolerance.")
