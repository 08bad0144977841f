import subprocess
import sys
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from mmoe.data.arrays import filled, nulls

TYPES = [pa.int8(), pa.int32(), pa.int64(), pa.float32(), pa.float64()]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_numbers_and_nulls_are_those_of_arrow_at_any_offset(kind: pa.DataType) -> None:
    values = [3, None, 0, *range(20), None, -7]
    for array in (pa.array(values, kind), pa.array(values, kind).slice(1, 9), pa.array(values, kind).slice(3, 19)):
        expected = [-1 if value is None else value for value in array.to_pylist()]
        assert filled(array, -1).tolist() == expected
        assert filled(array, -1).dtype == kind.to_pandas_dtype()
        assert nulls(array).tolist() == [value is None for value in array.to_pylist()]


def test_empty_and_wholly_null_arrays_are_read() -> None:
    assert filled(pa.array([], pa.int64()), -1).tolist() == [] and nulls(pa.array([], pa.int64())).tolist() == []
    assert np.isnan(filled(pa.array([None, None], pa.float32()), np.nan)).all()


def test_64_bit_integers_are_exact_beside_nulls() -> None:
    assert filled(pa.array([2**63 - 1, None, 2**53 + 1]), 0).tolist() == [2**63 - 1, 0, 2**53 + 1]


def test_features_are_measured_and_encoded_without_pandas(make_partition, small_schema) -> None:
    partition = make_partition(date(2026, 3, 1))
    code = f"""
import sys, pathlib, datetime
from mmoe.data.moments import measure_moments
from mmoe.data.stream import stream_batches
from mmoe.lake.reader import Partition
from mmoe.schema import Schema
schema = Schema.model_validate_json({small_schema.model_dump_json()!r})
files = tuple(map(pathlib.Path, {[str(file) for file in partition.files]!r}))
day = Partition(day=datetime.date(2026, 1, 1), digest="d", files=files, rows={partition.rows})
batches = list(stream_batches([day], schema, measure_moments([day], schema), batch_size=64, shuffle_rows=100))
assert sum(map(len, batches)) == {partition.rows}
sys.exit("pandas" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
