"""What is usual for a day, from the days before it: the parameters of a suite, for all rows and for each view type."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from mmoe.lake.manifest import LabelCount, Manifest
from mmoe.lake.profile import DayProfile
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

Parameters = dict[str, Any]


def bounds(schema: Schema, day: date, usual: Sequence[Manifest], rows: int) -> Parameters:
    """Every parameter of a day as a whole, from the manifests of `usual_days`."""
    parameters = _event_times(schema, day) | _rows([past.rows for past in usual]) | _view_types(schema, usual)
    for head in schema.heads:
        counts = [past.labels[head] for past in usual if head in past.labels]
        parameters |= label_rate(head, counts, rows)
    for name in (*schema.features.categorical, *schema.features.numeric, *schema.features.multivalued):
        total = sum(past.rows for past in usual)
        missing = sum(past.nulls.get(name, 0) for past in usual)
        parameters[f"{name}_known"] = KNOWN_LOSS * (1 - missing / total) if total else 0.0
    return parameters


def view_type_bounds(schema: Schema, view_type: str, usual: Sequence[DayProfile], rows: int) -> Parameters:
    """The parameters of one view type's rows: how many, and their label rates."""
    past = [each for profile in usual if (each := profile.of(view_type)) is not None]
    parameters = _rows([each.rows for each in past]) if past else {"rows_low": 0, "rows_high": None}
    for head in schema.heads:
        parameters |= label_rate(head, [each.labels[head] for each in past], rows)
    return parameters


def usual_days(day: date, trailing: Sequence[Manifest]) -> list[Manifest]:
    """The days that `day` is compared with: at most the last fourteen before it; none when they are too few."""
    usual = sorted((past for past in trailing if past.day < day), key=lambda past: past.day)[-TRAILING_DAYS:]
    return usual if len(usual) >= ENOUGH_DAYS else []


def label_rate(head: str, counts: Sequence[LabelCount], rows: int) -> Parameters:
    """Floor, low, high and ceiling of the share of ones among `rows` rows, around that of the counts.

    Where so few ones (or zeros) are due that there may be none, no share of them is too low.
    """
    positives = sum(count.positives for count in counts)
    known = positives + sum(count.negatives for count in counts)
    if not 0 < positives < known:
        return {f"{head}_floor": 0.0, f"{head}_low": 0.0, f"{head}_high": 1.0, f"{head}_ceiling": 1.0}
    rate = positives / known
    noise = SAMPLING_ERRORS / math.sqrt(max(rows, 1) * rate * (1 - rate))
    may_be_none, may_be_all = (rows * share < SAMPLING_ERRORS**2 for share in (rate, 1 - rate))
    return {
        f"{head}_floor": 0.0 if may_be_none else _shift(rate, -RATE_EXTREME - noise),
        f"{head}_low": 0.0 if may_be_none else _shift(rate, -RATE_UNUSUAL - noise),
        f"{head}_high": 1.0 if may_be_all else _shift(rate, RATE_UNUSUAL + noise),
        f"{head}_ceiling": 1.0 if may_be_all else _shift(rate, RATE_EXTREME + noise),
    }


def _event_times(schema: Schema, day: date) -> Parameters:
    """A day before the day's start to a day after its end: what ingest lets through."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=schema.event_time.day_starts_utc)
    return {
        "earliest": (start - timedelta(days=1)).isoformat(),
        "latest": (start + timedelta(days=2) - timedelta(microseconds=1)).isoformat(),
    }


def _rows(usual: Sequence[int]) -> Parameters:
    if not usual:
        return {"rows_floor": 1, "rows_low": 1, "rows_high": None, "rows_ceiling": None}
    middle = median(usual)
    noise = SAMPLING_ERRORS * math.sqrt(middle)
    return {
        "rows_floor": max(1, int(middle / ROWS_EXTREME)),
        "rows_low": max(0, int(middle / ROWS_UNUSUAL - noise)),
        "rows_high": math.ceil(middle * ROWS_UNUSUAL + noise),
        "rows_ceiling": math.ceil(middle * ROWS_EXTREME),
    }


def _view_types(schema: Schema, usual: Sequence[Manifest]) -> Parameters:
    """View types that had a hundred rows or more on every trailing day."""
    names = [name for name in schema.view_type.names if name != schema.view_type.other]
    steady = [name for name in names if all(past.view_type_rows.get(name, 0) >= 100 for past in usual)]
    return {"usual_view_types": steady if usual else []}


def _shift(rate: float, logits: float) -> float:
    return 1 / (1 + math.exp(-(math.log(rate / (1 - rate)) + logits)))
