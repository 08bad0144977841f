"""mmoe.data.benchmark: the log it writes is the workload it says, and every row of it is read."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmoe.data.benchmark import IDS, loader_rate, workload_day, workload_schema
from mmoe.data.features import IDENTITY, read_columns


def test_the_log_is_30_ids_with_a_long_tail_10_numbers_and_two_labels() -> None:
    day = workload_day(20_000, seed=3)
    assert {*day.column_names, *IDENTITY} == set(read_columns(workload_schema(["click", "gclick"])))
    for index, size in enumerate(IDS):
        ids = day[f"c{index}"].to_numpy()
        counts = np.sort(np.unique(ids, return_counts=True)[1])[::-1]
        assert ids.min() >= 0 and ids.max() < size and counts[: len(counts) // 10].sum() > 0.3 * len(ids)


@pytest.mark.parametrize("ids", ["hashed", "dense"])
def test_the_loader_reads_every_row_of_zstd_parquet_on_every_pass(tmp_path, ids) -> None:
    rate = loader_rate(tmp_path, days=2, rows=3000, batch_size=512, shuffle_rows=1000, passes=2, ids=ids)
    assert (rate.ids, rate.rows) == (ids, 6000) and rate.ex_s > 0 and rate.ex_s_core > 0 and rate.peak_mb > 0
    column = pq.read_metadata(tmp_path / "0.parquet").row_group(0).column(1)
    assert column.compression == "ZSTD"
