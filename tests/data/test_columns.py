import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmoe.data.arrays import mask
from mmoe.data.columns import AT_ONCE, RowGroupColumns

NAMES = [f"c{number}" for number in range(2 * AT_ONCE + 1)]


@pytest.fixture
def parquet(tmp_path):
    rng = np.random.default_rng(0)
    table = pa.table({name: rng.integers(9, size=50) for name in reversed(NAMES)})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=30)
    with pq.ParquetFile(tmp_path / "rows.parquet") as file:
        yield file


class Counted:
    """A file that notes what is read of it."""

    def __init__(self, parquet: pq.ParquetFile) -> None:
        self.parquet, self.metadata, self.read = parquet, parquet.metadata, []

    def read_row_group(self, index: int, *, columns: list[str], use_threads: bool) -> pa.Table:
        self.read += columns
        return self.parquet.read_row_group(index, columns=columns, use_threads=use_threads)


def test_columns_are_the_row_groups_in_whatever_order_they_are_asked_for(parquet) -> None:
    columns = RowGroupColumns(parquet=parquet, index=1, names=NAMES)
    whole = parquet.read_row_group(1)
    assert len(columns) == 20
    for name in (NAMES[-1], *NAMES, *reversed(NAMES)):
        assert columns[name].equals(whole[name])


def test_asked_for_in_their_order_each_column_is_read_once_and_few_are_held(parquet) -> None:
    counted = Counted(parquet)
    columns = RowGroupColumns(parquet=counted, index=0, names=[*NAMES, "in no file"])
    for name in NAMES:
        assert len(columns[name]) == 30 and len(columns._held) <= AT_ONCE
    assert counted.read == [*NAMES, "in no file"]


def test_rows_that_are_not_kept_are_in_no_column(parquet) -> None:
    kept = np.arange(30) % 3 == 1
    columns = RowGroupColumns(parquet=parquet, index=0, names=NAMES, kept=mask(kept))
    whole = parquet.read_row_group(0)
    assert len(columns) == 10
    for name in NAMES:
        assert columns[name].to_pylist() == np.array(whole[name])[kept].tolist()
