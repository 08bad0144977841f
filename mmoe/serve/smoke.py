"""The last check before a bundle may serve: it loads in both precisions and scores rows as a server would."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mmoe.data.score_set import ScoreSet
from mmoe.data.scores import read_scores
from mmoe.errors import EvaluationError
from mmoe.lake.manifest import file_digest
from mmoe.lake.partitions import canonical_schema
from mmoe.lake.reader import Partition
from mmoe.parsing import Frozen
from mmoe.schema import Schema
from mmoe.serve.scorer import Scorer

ROWS, SEED, DAY = 256, 17, date(2000, 1, 1)
UNSEEN = 1 << 40
"""Ids below this are drawn, nearly all of them unknown to any model."""
ALONE_TOLERANCE = 1e-3
"""Logits of a row scored alone and in a batch differ by rounding only."""
PRECISION_TOLERANCE = 0.5
"""Logits in bfloat16 stay within this of float32; trained models were measured below 0.1."""


class SmokeTest(Frozen):
    """A passed smoke test."""

    model_digest: str
    rows: int
    heads: tuple[str, ...]
    precision_gap: float
    """Largest difference of a logit between bfloat16 and float32."""


def smoke_test(bundle: Path, *, threads: int = 1) -> SmokeTest:
    """Load the bundle and score invented rows: nulls, unseen categories, and a request of one row among them.

    Raises TrainingError or CorruptionError when it does not load, EvaluationError when a logit is not finite, all rows
    score alike, a row scores differently alone, or the two precisions disagree.
    """
    plain, mixed = (Scorer.load(bundle, precision, threads) for precision in ("float32", "bfloat16"))
    with TemporaryDirectory(prefix="smoke-") as folder:
        rows = invented_partition(plain.state.data_schema, Path(folder) / "rows.parquet")
        expected = scored(plain, rows, Path(folder) / "float32")
        for head in expected.heads:
            if np.ptp(expected.logits[head]) == 0:
                raise EvaluationError(f"head={head!r}: all {expected.rows} different rows score alike; train it again.")
        refuse_apart(expected, scored(plain, first_row(rows), Path(folder) / "alone"), ALONE_TOLERANCE, "scored alone")
        scored(Scorer.load(bundle, threads=threads, calibrated=True), rows, Path(folder) / "served")
        gap = refuse_apart(expected, scored(mixed, rows, Path(folder) / "bfloat16"), PRECISION_TOLERANCE, "in bfloat16")
    return SmokeTest(model_digest=plain.digest, rows=expected.rows, heads=expected.heads, precision_gap=gap)


def scored(scorer: Scorer, rows: Partition, path: Path) -> ScoreSet:
    scorer.score_partition(rows, path)
    return read_scores([path])


def refuse_apart(expected: ScoreSet, found: ScoreSet, tolerance: float, how: str) -> float:
    """The largest difference of a logit on the rows that `found` has. Raises EvaluationError above the tolerance."""
    gaps = {
        head: float(np.abs(found.logits[head] - logits[: found.rows]).max()) for head, logits in expected.logits.items()
    }
    head = max(gaps, key=lambda name: gaps[name])
    if not gaps[head] <= tolerance:
        raise EvaluationError(
            f"head={head!r}: a row {how} differs by {gaps[head]:.3g} in its logit, more than {tolerance:g}; "
            "export the model again, or train it again."
        )
    return gaps[head]


def invented_partition(schema: Schema, path: Path) -> Partition:
    """Seeded rows that fit the schema and come from nobody's log. The second row holds nothing but nulls."""
    rng = np.random.default_rng(SEED)
    features, view_types = schema.features, schema.view_type.names
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    columns: dict[str, Any] = {
        "event_id": [f"smoke-{row}" for row in range(ROWS)],
        "event_time": [midnight + timedelta(seconds=row) for row in range(ROWS)],
        "view_type": [view_types[row % len(view_types)] for row in range(ROWS)],
        "group_id": list(range(ROWS)),
    }
    for name, categorical in features.categorical.items():
        columns[name] = with_nulls(values(categorical.type, rng.integers(0, UNSEEN, ROWS)))
    for name in features.numeric:
        columns[name] = with_nulls(rng.exponential(1.0, ROWS).tolist())
    for name, multivalued in features.multivalued.items():
        lists = [values(multivalued.type, rng.integers(0, UNSEEN, row % 4)) for row in range(ROWS)]
        columns[name] = with_nulls(lists)
    columns |= {name: pa.nulls(ROWS) for name in schema.labels}
    fields = canonical_schema(schema, pa.int64())
    pq.write_table(pa.table([pa.array(columns[field.name]).cast(field.type) for field in fields], schema=fields), path)
    return Partition(day=DAY, digest=file_digest(path), files=(path,), rows=ROWS)


def values(kind: str, numbers: npt.NDArray[np.int64]) -> list[object]:
    return [int(number) if kind == "int" else f"smoke-{number}" for number in numbers]


def with_nulls(column: Sequence[object]) -> list[object]:
    return [None if row == 1 or row % 17 == 5 else value for row, value in enumerate(column)]


def first_row(rows: Partition) -> Partition:
    path = rows.files[0].with_name("first.parquet")
    pq.write_table(pq.read_table(rows.files[0]).slice(0, 1), path)
    return replace(rows, files=(path,), rows=1)
