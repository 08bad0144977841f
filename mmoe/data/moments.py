"""Mean and spread of the numeric features, taken from the training window once and carried by the model ever after."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from mmoe.data.arrays import filled, flat
from mmoe.errors import ConfigError
from mmoe.lake.reader import Partition
from mmoe.parsing import Frozen
from mmoe.schema import Numeric, Schema

Values = npt.NDArray[np.float64]
SAMPLE = 200_000
"""Rows that quantiles are taken from: an error of about 0.1% of the rows in a bucket's share."""


class Moment(Frozen):
    """Of one numeric feature after its transform; a feature that is constant or never present has scale 1."""

    mean: float = 0.0
    scale: float = 1.0
    edges: tuple[float, ...] | None = Field(default=None, strict=False)
    """Ascending bounds between the buckets of a bucketed feature; None: it is standardised."""


Moments = dict[str, Moment]


def measure_moments(
    partitions: Sequence[Partition], schema: Schema, buckets: Mapping[str, int] | None = None
) -> Moments:
    """One pass over the numeric columns alone; missing values do not count.

    `buckets` names the features to cut into buckets of about equal counts, by the quantiles of every k-th row, with k
    such that about SAMPLE rows are held. Raises ConfigError for a name that is no numeric feature.
    """
    wanted = dict(buckets or {})
    refuse_unknown(wanted, schema)
    names = list(schema.features.numeric)
    totals = dict.fromkeys(names, (0, 0.0, 0.0))
    samples: dict[str, list[Values]] = {name: [] for name in wanted}
    every, position = max(1, sum(partition.rows for partition in partitions) // SAMPLE), 0
    for table in _numeric_tables(partitions, names):
        for name, feature in schema.features.numeric.items():
            values = transformed(table[name], feature)
            totals[name] = _merged(totals[name], values[~np.isnan(values)])
            if name in samples:
                samples[name].append(values[-position % every :: every])
        position += len(table)
    edges = {name: quantile_edges(np.concatenate(samples[name] or [np.empty(0)]), wanted[name]) for name in wanted}
    return {name: _moment(*total).model_copy(update={"edges": edges.get(name)}) for name, total in totals.items()}


def quantile_edges(values: Values, buckets: int) -> tuple[float, ...]:
    """Up to buckets − 1 distinct bounds at equal shares of the values that are present; few where values repeat."""
    present = values[~np.isnan(values)]
    if not len(present):
        return ()
    bounds = np.quantile(present, np.arange(1, buckets) / buckets, method="lower")
    return tuple(float(bound) for bound in np.unique(bounds))


def refuse_unknown(buckets: Mapping[str, int], schema: Schema) -> None:
    unknown = sorted(set(buckets) - set(schema.features.numeric))
    if unknown:
        known = ", ".join(schema.features.numeric) or "none"
        raise ConfigError(f"numeric_buckets.{unknown[0]}: no numeric feature of the schema; use one of {known}.")


def transformed(column: pa.ChunkedArray, feature: Numeric) -> Values:
    """(N,) raw values -> (N,) float64 after the feature's transform, NaN where missing."""
    values = filled(flat(column.cast(pa.float64())), np.nan)
    return np.sign(values) * np.log1p(np.abs(values)) if feature.transform == "log1p" else values


def _numeric_tables(partitions: Sequence[Partition], names: list[str]) -> Iterator[pa.Table]:
    for partition in partitions if names else ():
        for file in partition.files:
            with pq.ParquetFile(file) as parquet:
                for index in range(parquet.num_row_groups):
                    yield parquet.read_row_group(index, columns=names)


def _merged(total: tuple[int, float, float], values: Values) -> tuple[int, float, float]:
    """Count, mean and sum of squared deviations of both. Source: Chan, Golub and LeVeque 1979."""
    count, mean, squares = total
    if not len(values):
        return total
    both = count + len(values)
    delta = float(values.mean()) - mean
    within = float(np.square(values - values.mean()).sum())
    return both, mean + delta * len(values) / both, squares + within + delta * delta * count * len(values) / both


def _moment(count: int, mean: float, squares: float) -> Moment:
    scale = float(np.sqrt(squares / count)) if count else 0.0
    return Moment(mean=mean, scale=scale if scale > 1e-6 * max(1.0, abs(mean)) else 1.0)
