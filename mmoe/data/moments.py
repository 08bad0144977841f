"""Mean and spread of the numeric features, taken from the training window once and carried by the model ever after."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mmoe.lake.reader import Partition
from mmoe.parsing import Frozen
from mmoe.schema import Numeric, Schema

Values = npt.NDArray[np.float64]


class Moment(Frozen):
    """Of one numeric feature after its transform; a feature that is constant or never present has scale 1."""

    mean: float = 0.0
    scale: float = 1.0


Moments = dict[str, Moment]


def measure_moments(partitions: Sequence[Partition], schema: Schema) -> Moments:
    """One pass over the numeric columns alone; missing values do not count."""
    names = list(schema.features.numeric)
    totals = dict.fromkeys(names, (0, 0.0, 0.0))
    for table in _numeric_tables(partitions, names):
        for name, feature in schema.features.numeric.items():
            values = transformed(table[name], feature)
            totals[name] = _merged(totals[name], values[~np.isnan(values)])
    return {name: _moment(*total) for name, total in totals.items()}


def transformed(column: pa.ChunkedArray, feature: Numeric) -> Values:
    """(N,) raw values -> (N,) float64 after the feature's transform, NaN where missing."""
    values: Values = column.cast(pa.float64()).to_numpy()
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
