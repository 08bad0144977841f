"""A small handmade engagement log and its schema, for tests of the lake and of data quality."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmoe.lake.staging import Staged, staged_paths
from mmoe.lake.store import Store
from mmoe.schema import Schema

DAY = date(2026, 3, 10)
SCHEMA = Schema.model_validate(
    {
        "name": "handmade",
        "view_type": {"values": ["home", "search"]},
        "group_id": "user_id",
        "features": {
            "categorical": {
                "user_id": {"type": "int", "buckets": 100},
                "ad_id": {"type": "int", "buckets": 100},
                "device": {"buckets": 8},
            },
            "numeric": {"price": {"transform": "log1p"}},
            "multivalued": {"topics": {"type": "int", "buckets": 32}},
        },
        "labels": {
            "click": {},
            "long_click": {"implies": "click"},
            "save": {"maturity_days": 1, "role": "guardrail"},
        },
    }
)


def raw_rows(day: date = DAY, rows: int = 200, seed: int = 0) -> pa.Table:
    """Raw rows that fit SCHEMA; every third price and every fifth topic list is missing."""
    rng = np.random.default_rng(seed)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    click = rng.random(rows) < 0.3
    return pa.table(
        {
            "event_id": [f"{day}-{seed}-{row}" for row in range(rows)],
            "event_time": [start + timedelta(seconds=int(second)) for second in rng.integers(0, 86_400, rows)],
            "view_type": rng.choice(["home", "search"], rows),
            "user_id": rng.integers(0, 2**60, rows),
            "ad_id": rng.integers(0, 50, rows).astype(np.int32),
            "device": rng.choice(["phone", "tablet"], rows),
            "price": pa.array(rng.lognormal(size=rows), mask=np.arange(rows) % 3 == 0),
            "topics": [None if row % 5 == 0 else [row % 7, row % 11] for row in range(rows)],
            "click": click.astype(np.int8),
            "long_click": (click & (rng.random(rows) < 0.5)).astype(np.int8),
            "save": pa.array((rng.random(rows) < 0.1).astype(np.int8)),
            "unused": rng.random(rows),
        }
    )


def deliver(landing: Path, table: pa.Table, name: str = "part-0.parquet", day: date = DAY) -> Path:
    path = landing / f"dt={day}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def staged_table(store: Store, staged: Staged) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in staged_paths(store, staged))


def replaced(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
