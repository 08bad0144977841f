"""What is usual for a day, from the manifests of the days before it: the parameters of a suite."""

import math
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from mmoe.lake.manifest import Manifest
from mmoe.schema import Schema

TRAILING_DAYS = 14
ENOUGH_DAYS = 3
"""With fewer earlier days nothing is called unusual."""
ROWS_UNUSUAL, ROWS_EXTREME = 2.0, 20.0
"""Factors on the median number of rows."""
RATE_UNUSUAL, RATE_EXTREME = 0.5, 2.5
"""Distances from the trailing label rate on the logit scale; 0.5 takes a rate of 15% to 10% or 23%."""
SAMPLING_ERRORS = 4.0
KNOWN_LOSS = 0.5
"""A feature is unusually sparse when known in less than this share of its trailing share of known values."""


def bounds(schema: Schema, day: date, trailing: list[Manifest], rows: int) -> dict[str, Any]:
    """Every parameter of the derived suite, for `day`. Only days before it count, at most the last fourteen."""
    usual = sorted((past for past in trailing if past.day < day), key=lambda past: past.day)[-TRAILING_DAYS:]
    if len(usual) < ENOUGH_DAYS:
        usual = []
    parameters = _event_times(schema, day) | _rows(usual) | _view_types(schema, usual)
    for head in schema.heads:
        parameters |= _label_rate(head, usual, rows)
    for name in (*schema.features.categorical, *schema.features.numeric, *schema.features.multivalued):
        total = sum(past.rows for past in usual)
        missing = sum(past.nulls.get(name, 0) for past in usual)
        parameters[f"{name}_known"] = KNOWN_LOSS * (1 - missing / total) if total else 0.0
    return parameters


def _event_times(schema: Schema, day: date) -> dict[str, Any]:
    """A day before the day's start to a day after its end: what ingest lets through."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=schema.event_time.day_starts_utc)
    return {
        "earliest": (start - timedelta(days=1)).isoformat(),
        "latest": (start + timedelta(days=2) - timedelta(microseconds=1)).isoformat(),
    }


def _rows(usual: list[Manifest]) -> dict[str, Any]:
    if not usual:
        return {"rows_floor": 1, "rows_low": 1, "rows_high": None, "rows_ceiling": None}
    middle = median(past.rows for past in usual)
    return {
        "rows_floor": max(1, int(middle / ROWS_EXTREME)),
        "rows_low": max(1, int(middle / ROWS_UNUSUAL)),
        "rows_high": math.ceil(middle * ROWS_UNUSUAL),
        "rows_ceiling": math.ceil(middle * ROWS_EXTREME),
    }


def _view_types(schema: Schema, usual: list[Manifest]) -> dict[str, Any]:
    """View types that had a hundred rows or more on every trailing day."""
    names = [name for name in schema.view_type.names if name != schema.view_type.other]
    steady = [name for name in names if all(past.view_type_rows.get(name, 0) >= 100 for past in usual)]
    return {"usual_view_types": steady if usual else []}


def _label_rate(head: str, usual: list[Manifest], rows: int) -> dict[str, Any]:
    counts = [past.labels[head] for past in usual if head in past.labels]
    positives = sum(count.positives for count in counts)
    known = positives + sum(count.negatives for count in counts)
    if not 0 < positives < known:
        return {f"{head}_floor": 0.0, f"{head}_low": 0.0, f"{head}_high": 1.0, f"{head}_ceiling": 1.0}
    rate = positives / known
    noise = SAMPLING_ERRORS / math.sqrt(max(rows, 1) * rate * (1 - rate))
    return {
        f"{head}_floor": _shift(rate, -RATE_EXTREME - noise),
        f"{head}_low": _shift(rate, -RATE_UNUSUAL - noise),
        f"{head}_high": _shift(rate, RATE_UNUSUAL + noise),
        f"{head}_ceiling": _shift(rate, RATE_EXTREME + noise),
    }


def _shift(rate: float, logits: float) -> float:
    return 1 / (1 + math.exp(-(math.log(rate / (1 - rate)) + logits)))
