"""How long metrics and the gate take: `python -m mmoe.evaluate.benchmark --rows 10000000`.

Four heads of different rates; logits hardly tie, which costs most. Users have about twenty rows.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import pyarrow as pa

from mmoe.data.score_set import ScoreSet, Slicing
from mmoe.evaluate.measure import all_metrics
from mmoe.evaluate.offline_gate import evaluate_gate
from mmoe.evaluate.ranking import probabilities
from mmoe.gate_config import PROFILES, GateConfig

RATES = {"click": -1.5, "long_click": -2.5, "save": -3.5, "hide": -5.0}
"""head -> mean logit."""
SLICES = {"view_type": 3, "hour": 24, "new_user": 2, "new_ad": 2, "history_length": 5}
"""Slice column -> how many slices."""
ROWS_A_USER = 20


def made_up(rows: int, seed: int = 0) -> tuple[ScoreSet, ScoreSet]:
    """Champion and challenger of `rows` rows."""
    rng = np.random.default_rng(seed)
    ids = pa.array(np.arange(rows))
    group = rng.integers(0, max(1, rows // ROWS_A_USER), rows)
    slices = {
        name: Slicing(names=tuple(map(str, range(size))), codes=rng.integers(0, size, rows).astype(np.uint8))
        for name, size in SLICES.items()
    }
    truth = {head: (rng.normal(mean, 1, rows)).astype(np.float32) for head, mean in RATES.items()}
    labels = {head: (rng.random(rows) < probabilities(logit)).astype(np.float32) for head, logit in truth.items()}
    sides = [
        ScoreSet(
            days=(date(2026, 9, 22),), model_digest=digest, heads=tuple(RATES), example_id=ids, group=group,
            slices=slices, labels=labels,
            logits={head: (logit + rng.normal(0, 0.3, rows)).astype(np.float32) for head, logit in truth.items()},
        )
        for digest in ("champion", "challenger")
    ]  # fmt: skip
    return sides[0], sides[1]


def timed(name: str, work: Callable[[], object]) -> dict[str, float]:
    """Seconds by the clock, and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return {
        name: round(time.perf_counter() - clock, 2),
        f"{name}, processor": round(time.process_time() - processor, 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    chosen = parser.parse_args(arguments)
    champion, challenger = made_up(chosen.rows)
    config = GateConfig(profiles=PROFILES, slices=tuple(SLICES))
    found: dict[str, float | int] = {"rows": chosen.rows, "cpus": len(os.sched_getaffinity(0))}
    found |= timed("metrics", lambda: all_metrics(champion))
    found |= timed("gate, metrics of both", lambda: evaluate_gate(
        champion, challenger, profile_name="lift", config=config, heads=champion.heads, primary=champion.heads,
        with_metrics=True,
    ))  # fmt: skip
    found["peak GiB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
