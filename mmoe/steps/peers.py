"""Training on the peers' workload, and beside the peers themselves: where their data and environment stand.

A folder PEERS_ROOT holds data/train_all.parquet and data/test.parquet (500,000 and 100,000 rows, 30 ids and 10 numbers,
click and gclick), and, to run the peers, env/bin/python and run.py, which prints one JSON line for one measurement.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmoe.config import Params
from mmoe.data.benchmark import NUMBERS, workload_schema
from mmoe.errors import ConfigError, MmoeError
from mmoe.evaluate.metrics import roc_auc
from mmoe.lake.parts import ROW_GROUP, file_options
from mmoe.lake.reader import Partition
from mmoe.model_config import ModelConfig
from mmoe.parsing import Frozen
from mmoe.serve.scorer import Scorer
from mmoe.train.batch import train_batch
from mmoe.train.spec import network_spec

LABELS = {"dcnv2": ("click",), "mmoe": ("click", "gclick")}
PEERS = ("fuxictr", "rechub", "deepctr")
MODELS: Mapping[str, Mapping[str, Any]] = {
    "dcnv2": {
        "experts": [{"kind": "dcnv2", "layers": 3, "parallel": True, "hidden": [256, 128, 64]}],
        "tower_hidden": [],
        "numeric_scale": 2.0,
    },
    "mmoe": {"experts": [{"kind": "mlp", "hidden": [256, 128]}] * 4, "tower_hidden": [64], "numeric_scale": 4.0},
}
"""Those of the peers: 16 numbers an id, each with a row of its own, the ten numbers once, no view types and no missing
values to tell of."""
RATES: Mapping[str, Mapping[str, float]] = {
    model: {"dense_lr": 1e-3, "embedding_lr": embedding_lr, "weight_decay": 0.0, "warmup_share": 0.0}
    for model, embedding_lr in {"dcnv2": 0.01, "mmoe": 0.035}.items()
}
"""The dense rate is the peers'. That of row-wise Adagrad, which they do not have, is the best of five on the last
50,000 training rows, learned from the others, as are `numeric_scale` of four and DCNv2's last width of three."""
BATCH = 4096


class TrainRate(Frozen):
    """One training on the workload: one pass, read from Parquet as it goes."""

    model: str
    threads: int
    precision: str
    ex_s: float
    """From the first row read to the last step done."""
    auc: float
    """Of click on the test rows."""
    peak_mb: float
    """Of the process, up to the end of the training."""
    busy: float
    """Processor seconds over wall-clock seconds of the training, reading included."""
    gflop: float
    """Of the matrix products of a row's training, forward and backward."""


def model_config(model: str) -> ModelConfig:
    return ModelConfig.model_validate({**MODELS[model], "embedding_dim": 16, "view_dim": 0, "missing_flags": False})


def train_rate(root: Path, model: str, *, threads: int, seed: int = 1) -> TrainRate:
    """Train and judge one model in this process. Raises ConfigError where the data is not there."""
    from mmoe.model.costs import part_costs

    config, schema = model_config(model), workload_schema(LABELS[model], ids="dense")
    params = Params.model_validate(
        {
            "seed": seed,
            "baseline": config.model_dump(),
            "model": config.model_dump(),
            "train": {
                "batch_size": BATCH,
                "shuffle_rows": ROW_GROUP,
                "optimizer": RATES[model],
            },
            "distillation": {"enabled": False},
            "gate": {"profiles": {}},
        }
    )
    with TemporaryDirectory() as folder:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:  # what it reads is no part of a training
            files = [root / "data" / name for name in ("train_all.parquet", "test.parquet")]
            train, test = apart.map(converted, files, [Path(folder)] * 2)
        busy, wall = time.process_time(), time.perf_counter()
        result = train_batch(
            schema=schema, model=config, params=params, partitions=[train], output=Path(folder) / "out", threads=threads
        )
        share = (time.process_time() - busy) / (time.perf_counter() - wall)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return TrainRate(
            model=model,
            threads=threads,
            precision=result.state.stages[0].precision,
            ex_s=result.examples_per_second,
            auc=click_auc(Scorer.of_trainable(result.folder, threads=threads), test),
            peak_mb=peak,
            busy=share,
            gflop=3 * sum(part.flops for part in part_costs(network_spec(schema, config))) / 1e9,
        )


def converted(source: Path, folder: Path) -> Partition:
    """A file of the workload as a day of the lake."""
    if not source.is_file():
        raise ConfigError(f"{source}: no such file; give the folder of the peers' workload by PEERS_ROOT.")
    parquet, target = pq.ParquetFile(source), folder / source.name
    kinds = {name: workload_type(name) for name in parquet.schema_arrow.names}
    schema = pa.schema({"view_type": pa.string()} | kinds)
    with pq.ParquetWriter(target, schema, **file_options(schema)) as writer:
        for batch in parquet.iter_batches(ROW_GROUP):
            columns = [pa.repeat("all", len(batch)), *(batch[name].cast(kind) for name, kind in kinds.items())]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=ROW_GROUP)
    rows = parquet.metadata.num_rows
    return Partition(day=date(2026, 1, 1), digest=source.name, files=(target,), rows=rows)


def workload_type(column: str) -> pa.DataType:
    return pa.float32() if column in NUMBERS else pa.int8() if column in LABELS["mmoe"] else pa.int64()


def click_auc(scorer: Scorer, test: Partition) -> float:
    logits, labels = [], []
    for batch in scorer.batches(test):
        logits.append(scorer.logits(batch.inputs)["click"])
        labels.append(batch.labels_BH[:, 0].numpy())
    return roc_auc(np.concatenate(labels), np.concatenate(logits))


def own_process(root: Path, model: str, threads: int, seed: int) -> dict[str, Any]:
    """`train_rate` in a process of its own, so that memory and threads are its own."""
    options = {"--peers-root": root, "--threads": threads, "--model": model, "--seed": seed}
    command = ["bench", "train", *(str(word) for option in options.items() for word in option)]
    return last_line([sys.executable, "-m", "mmoe", *command], {}, Path.cwd())


def peer_process(root: Path, peer: str, model: str, threads: int) -> dict[str, Any]:
    """A peer's training, by the workload's own script. Raises MmoeError where it fails."""
    environment = {"PEERS_ROOT": str(root), "THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    python = root / "env" / "bin" / "python"
    return last_line([str(python), str(root / "run.py"), peer, model, "train"], environment, root)


def last_line(command: list[str], environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    try:
        done = subprocess.run(command, env=os.environ | environment, cwd=folder, capture_output=True, text=True)
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (OSError, IndexError, ValueError) as error:
        raise MmoeError(f"{' '.join(command)}: gave no result ({type(error).__name__}); run it by itself.") from error


def compare(root: Path, models: list[str], *, threads: int, rounds: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rounds of ours and every peer that runs, one after the other; per model the medians, and paired ratios first.

    Each round of ours has a seed of its own; the peers' script has one. A peer that fails once is left out from then
    on, and named.
    """
    table: list[dict[str, Any]] = []
    result: dict[str, Any] = {"ratio": {}, "auc_lead": {}, "peak_ratio_fuxictr": {}, "failed": {}}
    for model in models:
        runs: dict[str, list[dict[str, Any]]] = {"ours": [], **{peer: [] for peer in PEERS}}
        for seed in range(1, rounds + 1):
            runs["ours"].append(own_process(root, model, threads, seed))
            for peer in [peer for peer in PEERS if peer in runs]:
                try:
                    runs[peer].append(peer_process(root, peer, model, threads))
                except MmoeError as error:
                    result["failed"][f"{peer} {model}"] = str(error)
                    del runs[peer]
        table += [row(model, name, of_one) for name, of_one in runs.items()]
        result = judged(result, model, runs)
    return table, result


def row(model: str, name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    medians = {key: median(run[key] for run in runs) for key in ("ex_s", "auc")}
    peak = median(run.get("peak_mb_train", run["peak_mb"]) for run in runs)
    return {"model": model, "name": name, "rounds": len(runs), **medians, "peak_mb": peak}


def judged(result: dict[str, Any], model: str, runs: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The result with this model's ratios: over the fastest peer of each round, and over FuxiCTR's memory."""
    ours, peers = runs["ours"], {name: of_one for name, of_one in runs.items() if name != "ours"}
    if not peers:
        return result
    best = [max(of_one[number]["ex_s"] for of_one in peers.values()) for number in range(len(ours))]
    ratio = median(mine["ex_s"] / theirs for mine, theirs in zip(ours, best, strict=True))
    lead = median(mine["auc"] for mine in ours) - max(median(run["auc"] for run in each) for each in peers.values())
    result = result | {
        "ratio": result["ratio"] | {model: ratio},
        "auc_lead": result["auc_lead"] | {model: lead},
    }
    if "fuxictr" in peers:
        pairs = zip(ours, peers["fuxictr"], strict=True)
        memory = median(mine["peak_mb"] / theirs["peak_mb_train"] for mine, theirs in pairs)
        result["peak_ratio_fuxictr"] = result["peak_ratio_fuxictr"] | {model: memory}
    return result
