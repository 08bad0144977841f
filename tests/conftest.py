"""Fixtures that several areas share: a small schema, and canonical partitions that fit it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmoe.config import Params
from mmoe.lake.manifest import file_digest
from mmoe.lake.partitions import canonical_schema
from mmoe.lake.reader import Partition
from mmoe.schema import Schema

if TYPE_CHECKING:
    from mmoe.train.spec import TrainResult

MakePartition = Callable[..., Partition]
FIRST_DAY = date(2026, 3, 1)


@pytest.fixture(scope="session")
def small_schema() -> Schema:
    return Schema.model_validate(
        {
            "name": "small",
            "view_type": {"values": ["search", "home_feed"]},
            "group_id": "user_id",
            "features": {
                "categorical": {"user_id": {"type": "int", "buckets": 500}, "country": {"buckets": 16, "dim": 4}},
                "numeric": {"age": {"transform": "log1p"}, "quality": {}},
                "multivalued": {"topics": {"type": "int", "buckets": 32}},
            },
            "labels": {"click": {}, "long_click": {"implies": "click"}, "hide": {"role": "guardrail"}},
        }
    )


@pytest.fixture
def make_partition(tmp_path: Path, small_schema: Schema) -> MakePartition:
    """make_partition(day, rows=…, seed=…, row_group=…) -> a partition with learnable clicks and a few nulls."""

    def make(day: date, *, rows: int = 600, seed: int = 0, row_group: int = 250) -> Partition:
        file = tmp_path / "lake" / f"dt={day}" / "part-0.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(_engagement(day, rows, seed, small_schema), file, row_group_size=row_group)
        return Partition(day=day, digest=file_digest(file), files=(file,), rows=rows)

    return make


@pytest.fixture
def params() -> Params:
    expert = {"hidden": [16, 8]}
    return Params.model_validate(
        {
            "baseline": {"experts": [{"kind": "dcnv2"} | expert], "embedding_dim": 4},
            "model": {
                "experts": [{"kind": "dcnv2"} | expert, {"kind": "mlp"} | expert],
                "embedding_dim": 4,
                "dropout": 0.1,
            },
            "train": {"batch_size": 128, "shuffle_rows": 500, "optimizer": {"dense_lr": 0.01, "embedding_lr": 0.2}},
            "gate": {"profiles": {}},
        }
    )


@pytest.fixture
def trained(make_partition, small_schema, params, tmp_path: Path) -> "TrainResult":
    """A small MMoE that has learned FIRST_DAY."""
    from mmoe.train.batch import train_batch

    return train_batch(
        schema=small_schema,
        model=params.model,
        params=params,
        partitions=[make_partition(FIRST_DAY, rows=1000)],
        output=tmp_path / "trained",
        threads=1,
    )


@pytest.fixture
def next_day() -> date:
    """A day that `trained` has not learned."""
    return FIRST_DAY + timedelta(days=1)


def _engagement(day: date, rows: int, seed: int, schema: Schema) -> pa.Table:
    rng = np.random.default_rng([seed, day.toordinal()])
    user = rng.integers(0, 100, rows)
    quality = rng.normal(size=rows)
    search = rng.random(rows) < 0.5
    logit = np.sin(user * 1.7) * 2 + quality + search - 1
    click = rng.random(rows) < 1 / (1 + np.exp(-logit))
    long_click = click & (rng.random(rows) < 1 / (1 + np.exp(-quality)))
    hide = (rng.random(rows) < 0.1).astype(np.int8)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    columns = {
        "event_id": [f"{day}-{row:06d}" for row in range(rows)],
        "event_time": [start + timedelta(seconds=row) for row in range(rows)],
        "view_type": np.where(search, "search", "home_feed"),
        "group_id": user,
        "user_id": pa.array(user, mask=rng.random(rows) < 0.02),
        "country": pa.array(np.array(["de", "fr", "日本"])[user % 3], mask=rng.random(rows) < 0.1),
        "age": pa.array(rng.exponential(10, rows), mask=rng.random(rows) < 0.1),
        "quality": quality,
        "topics": [None if row % 11 == 0 else list(range(row % 4)) for row in range(rows)],
        "click": click.astype(np.int8),
        "long_click": long_click.astype(np.int8),
        "hide": pa.array(hide, mask=rng.random(rows) < 0.2),
    }
    arrow_schema = canonical_schema(schema, pa.int64())
    return pa.table([pa.array(columns[f.name]).cast(f.type) for f in arrow_schema], schema=arrow_schema)
