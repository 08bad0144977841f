"""float32 against bfloat16 of one bundle on one machine: latency by paired rounds, accuracy on the same rows."""

import time
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from mmoe.config import ServeConfig
from mmoe.errors import TrainingError
from mmoe.evaluate.metrics import roc_auc
from mmoe.lake.reader import Partition
from mmoe.model.inputs import Inputs
from mmoe.parsing import Frozen
from mmoe.serve.scorer import Scorer
from mmoe.train.device import cpu_threads, usable_precision

WARMUP_ROUNDS = 5
MOST_REQUESTS = 16
Timed = tuple[Scorer, list[Inputs]]


class PrecisionComparison(Frozen):
    """What serving in bfloat16 costs and gains."""

    batch_size: int
    """Rows a request."""
    rounds: int
    threads: int
    native_bfloat16: bool
    """Whether this CPU computes in bfloat16. Where it does not, bfloat16 weights are computed with in float32: the AUC
    then shows what rounding the weights costs, and the latency ratio is about 1."""
    float32_ms: float
    """Median latency of a request."""
    bfloat16_ms: float
    latency_ratio: float
    """bfloat16 / float32: median over rounds in which both scored the same request one after the other."""
    rows: int
    float32_auc: dict[str, float | None]
    """Per head; None where a head lacks positives or negatives."""
    bfloat16_auc: dict[str, float | None]
    auc_delta: dict[str, float | None]
    """bfloat16 minus float32."""


def compare_precisions(
    bundle: Path, partition: Partition, config: ServeConfig, *, threads: int = 1
) -> PrecisionComparison:
    """Time requests of config.batch_size rows of the partition, and take the AUC of both precisions on all its rows.

    Raises TrainingError when the partition has no rows.
    """
    plain, mixed = (Scorer.load(bundle, precision, threads) for precision in ("float32", "bfloat16"))
    requests = _requests(plain, partition, config.batch_size)
    times = _paired_times((plain, requests), (mixed, requests), config.rounds, threads)
    accuracy = {name: _auc(scorer, partition) for name, scorer in (("float32", plain), ("bfloat16", mixed))}
    float32, bfloat16 = accuracy["float32"], accuracy["bfloat16"]
    return PrecisionComparison(
        batch_size=len(requests[0].view_type_B),
        rounds=config.rounds,
        threads=threads,
        native_bfloat16=usable_precision("bfloat16") == "bfloat16",
        float32_ms=1e3 * median(first for first, _ in times),
        bfloat16_ms=1e3 * median(second for _, second in times),
        latency_ratio=median(second / first for first, second in times),
        rows=partition.rows,
        float32_auc=float32,
        bfloat16_auc=bfloat16,
        auc_delta={head: _difference(bfloat16[head], auc) for head, auc in float32.items()},
    )


class CostComparison(Frozen):
    """What serving the challenger takes beside the champion."""

    champion_ms: float
    """Median latency of a request in float32."""
    challenger_ms: float
    """The champion's, times the median ratio over rounds in which both scored the same rows one after the other."""
    champion_bytes: int
    """Of the bundle's files."""
    challenger_bytes: int


def compare_costs(
    champion: Path, challenger: Path, partition: Partition, config: ServeConfig, *, threads: int = 1
) -> CostComparison:
    """Time requests of the same rows on two bundles. Raises TrainingError when the partition has no rows."""
    scorers = [Scorer.load(bundle, "float32", threads) for bundle in (champion, challenger)]
    before, after = ((scorer, _requests(scorer, partition, config.batch_size)) for scorer in scorers)
    times = _paired_times(before, after, config.rounds, threads)
    latency = 1e3 * median(first for first, _ in times)
    return CostComparison(
        champion_ms=latency,
        challenger_ms=latency * median(second / first for first, second in times),
        champion_bytes=_size(champion),
        challenger_bytes=_size(challenger),
    )


def _size(bundle: Path) -> int:
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())


def _requests(scorer: Scorer, partition: Partition, batch_size: int) -> list[Inputs]:
    """Batches of equal size; when the partition is smaller than one, all its rows."""
    found: list[Inputs] = []
    for batch in scorer.batches(partition, batch_size=batch_size):
        if len(found) == MOST_REQUESTS or (found and len(batch) < batch_size):
            break
        found.append(batch.inputs)
    if not found:
        raise TrainingError(f"partition {partition.day}: no rows to time; give a day with rows.")
    return found


def _paired_times(first: Timed, second: Timed, rounds: int, threads: int) -> list[tuple[float, float]]:
    """Seconds of both a round. Which goes first alternates, so that neither always finds a warm cache."""
    times = []
    with torch.inference_mode(), cpu_threads(threads):
        for number in range(-WARMUP_ROUNDS, rounds):
            sides = (first, second) if number % 2 else (second, first)
            seconds = [_seconds(scorer, requests[number % len(requests)]) for scorer, requests in sides]
            if number >= 0:
                times.append((seconds[0], seconds[1]) if number % 2 else (seconds[1], seconds[0]))
    return times


def _seconds(scorer: Scorer, request: Inputs) -> float:
    started = time.perf_counter()
    scorer.network(request)
    return time.perf_counter() - started


def _auc(scorer: Scorer, partition: Partition) -> dict[str, float | None]:
    scored: dict[str, list[npt.NDArray[np.float32]]] = {head: [] for head in scorer.state.heads}
    labels = []
    with torch.inference_mode(), cpu_threads(scorer.threads):
        for batch in scorer.batches(partition):
            for head, logit in scorer.network(batch.inputs).items():
                scored[head].append(logit.numpy())
            labels.append(batch.labels_BH.numpy())
    by_head = zip(scorer.state.heads, np.concatenate(labels).T, strict=True)
    return {head: _head_auc(label, np.concatenate(scored[head])) for head, label in by_head}


def _head_auc(label: npt.NDArray[np.float32], logit: npt.NDArray[np.float32]) -> float | None:
    final = ~np.isnan(label)
    positives = int(label[final].sum())
    return float(roc_auc(label[final], logit[final])) if 0 < positives < final.sum() else None


def _difference(second: float | None, first: float | None) -> float | None:
    return None if first is None or second is None else second - first
