"""The loader alone, on a log like the peers' workload: 30 categorical and 10 numeric features from zstd Parquet."""

import resource
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmoe.data.moments import Moment
from mmoe.data.stream import stream_batches
from mmoe.lake.parts import ROW_GROUP, file_options
from mmoe.lake.reader import Partition
from mmoe.parsing import Frozen
from mmoe.schema import Schema

IDS = (100_000,) * 8 + (25_000,) * 6 + (5_000,) * 8 + (1_250,) * 8
NUMBERS = tuple(f"d{index}" for index in range(10))
FIRST_DAY = date(2026, 1, 1)


class LoaderRate(Frozen):
    """Passes over a log of several days, shuffled."""

    ids: str
    rows: int
    """Of a pass."""
    batch_size: int
    shuffle_rows: int
    passes: int
    ex_s: float
    """Rows a second of the median pass: wall-clock time, of all threads together on the cores that there are."""
    ex_s_core: float
    """Rows a second of processor time of the median pass: what one core does."""
    peak_mb: float
    """Of the process, what it imports included."""


def workload_schema(labels: Sequence[str], ids: str = "hashed") -> Schema:
    """The workload's features, a row of the embedding table for each id that can occur."""
    features = {f"c{index}": {"type": "int", "buckets": size, "ids": ids} for index, size in enumerate(IDS)}
    return Schema.model_validate(
        {
            "name": "workload",
            "view_type": {"values": ["all"]},
            "group_id": "c0",
            "features": {"categorical": features, "numeric": {name: {} for name in NUMBERS}},
            "labels": {label: {} for label in labels},
        }
    )


def workload_day(rows: int, seed: int) -> pa.Table:
    """Ids with a tail like a log's (a bounded Pareto of exponent 1.05), normal numbers, labels of 1 in 10."""
    rng, columns = np.random.default_rng(seed), {"view_type": pa.array(["all"] * rows)}
    for index, size in enumerate(IDS):
        share, power = rng.random(rows), -0.05
        ranks = (((size - 1.0) ** power * share + 1 - share) ** (1 / power)).astype(np.int64)
        columns[f"c{index}"] = pa.array(np.random.default_rng(index).permutation(size)[ranks])
    columns |= {name: pa.array(rng.standard_normal(rows, dtype=np.float32)) for name in NUMBERS}
    return pa.table(columns | {name: (rng.random(rows) < 0.1).astype(np.int8) for name in ("click", "gclick")})


def write_workload(folder: Path, days: int, rows: int) -> list[Partition]:
    """Days of `rows` rows, one file each, as the lake writes them."""
    partitions = []
    for number in range(days):
        table, file = workload_day(rows, seed=number), folder / f"{number}.parquet"
        pq.write_table(table, file, row_group_size=ROW_GROUP, **file_options(table.schema))
        day = FIRST_DAY + timedelta(days=number)
        partitions.append(Partition(day=day, digest=str(number), files=(file,), rows=rows))
    return partitions


def loader_rate(
    folder: Path, *, days: int, rows: int, batch_size: int, shuffle_rows: int, passes: int, ids: str = "hashed"
) -> LoaderRate:
    """Write the log into `folder`, then time passes over it; the first, which fills caches, does not count."""
    partitions, schema = write_workload(folder, days, rows), workload_schema(["click", "gclick"], ids)
    moments = {name: Moment(mean=0.1, scale=1.1) for name in NUMBERS}
    seconds: list[tuple[float, float]] = []
    for _ in range(passes + 1):
        wall, busy = time.perf_counter(), time.process_time()
        batches = stream_batches(partitions, schema, moments, batch_size=batch_size, shuffle_rows=shuffle_rows)
        read = sum(len(batch.inputs.view_type_B) for batch in batches)
        seconds.append((time.perf_counter() - wall, time.process_time() - busy))
    return LoaderRate(
        ids=ids,
        rows=read,
        batch_size=batch_size,
        shuffle_rows=shuffle_rows,
        passes=passes,
        ex_s=read / median(wall for wall, _ in seconds[1:]),
        ex_s_core=read / median(busy for _, busy in seconds[1:]),
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )
