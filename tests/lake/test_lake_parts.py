from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmoe.lake.parts import file_options

ROWS = pa.table(
    {
        "id": pa.array([2**63 - 1, -(2**63), None, 0], pa.int64()),
        "tags": pa.array([[1, 2**62], None, [], [None]], pa.list_(pa.int64())),
        "words": pa.array([["a"], [], None, ["b", "a"]], pa.list_(pa.string())),
        "click": pa.array([1, 0, None, 1], pa.int8()),
        "at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 4, pa.timestamp("us", tz="UTC")),
        "flag": pa.array([True, None, False, True]),
        "place": pa.array(["home", None, "search", "home"]),
        "price": pa.array([float("nan"), None, -0.0, 1e300]),
    }
)

ENCODINGS = ("DELTA_BINARY_PACKED", "RLE_DICTIONARY")


def written(rows: pa.Table, path: Path) -> pq.ParquetFile:
    pq.write_table(rows, path, **file_options(rows.schema))
    return pq.ParquetFile(path)


def test_every_value_of_every_type_is_read_as_it_was_written(tmp_path: Path) -> None:
    read = written(ROWS, tmp_path / "rows.parquet").read()
    assert read.drop_columns("price").equals(ROWS.drop_columns("price"))
    assert read["price"].to_numpy().tobytes() == ROWS["price"].to_numpy().tobytes()


def test_integers_are_packed_differences_and_text_is_a_dictionary(tmp_path: Path) -> None:
    group = written(ROWS, tmp_path / "rows.parquet").metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    by_encoding = {kind: {c.path_in_schema for c in columns if kind in c.encodings} for kind in ENCODINGS}
    assert by_encoding["DELTA_BINARY_PACKED"] == {"id", "tags.list.element", "click", "at"}
    assert by_encoding["RLE_DICTIONARY"] == {"words.list.element", "place"}
    assert {column.compression for column in columns} == {"ZSTD"}


def test_random_ids_take_no_more_room_than_their_bits(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(2**40, size=65_536)
    size = written(pa.table({"id": ids}), tmp_path / "ids.parquet").metadata.row_group(0).total_byte_size
    assert size < 1.05 * len(ids) * 42 / 8
