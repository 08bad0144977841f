import json

import numpy as np
import pyarrow as pa
import pytest

from mmoe.lake.blocks import open_blocks
from mmoe.lake.tabular import Edited


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path, *columns):
    with open_blocks(path) as blocks:
        assert blocks is not None
        return [row for block in blocks.read(columns) for row in block.to_pylist()]


def test_json_lines_whose_types_change_are_read_to_the_end_and_each_line_once(tmp_path):
    """A number becomes text long after the first block, where a typed reader gives up."""
    rows = [{"id": number, "text": "x" * 200} for number in range(20_000)] + [{"id": "late"}, {}, {"id": 7}]
    found = read(write_lines(tmp_path / "rows", rows), "id")
    assert [str(row["id"]) for row in found] == [str(row.get("id")) for row in rows]


def test_a_column_that_only_later_lines_have_is_null_before(tmp_path):
    path = write_lines(tmp_path / "rows", [{"id": 1}, {"id": 2, "label": 1}])
    assert read(path, "label") == [{"label": None}, {"label": 1}]
    assert read(path, "absent") == [{"absent": None}, {"absent": None}]


@pytest.mark.parametrize("content", [b"", b"plain words", b'{"a":\n1, 2]\n', b"[1, 2]", b"{"])
def test_what_is_no_table_has_no_blocks(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with open_blocks(path) as blocks:
        assert blocks is None


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ('{"columns": ["id", "text"], "data": [[1, ', ("id", "text")),
        ('{"i\\"d": {"0": 1, "1"', ('i\\"d',)),
        ('{\n "id": [\n1, 2]\n', ("id",)),
        ('{"0": {"id": 1, "text": "a"}, "1": {"id', ("id", "text")),
    ],
)
def test_a_table_in_one_object_that_is_cut_tells_its_columns_and_raises_when_it_is_read(tmp_path, content, names):
    path = tmp_path / "file"
    path.write_text(content)
    with open_blocks(path) as blocks:
        assert blocks.names == names
        with pytest.raises(pa.ArrowInvalid, match="cut, damaged or too long"):
            list(blocks.read(None))


ROWS = [{"id": 1, "text": "a, [b] {c}"}, {"id": 2, "label": None}, {"id": 3, "text": "x" * 3_000_000}]
SEQUENCES = {
    "array": json.dumps(ROWS),
    "indented array": json.dumps(ROWS, indent=2),
    "lines of an array": "[" + ",\n".join(map(json.dumps, ROWS)) + "]\n",
    "indented objects": "\n".join(json.dumps(row, indent=1) for row in ROWS),
    "one after the other": "".join(map(json.dumps, ROWS)),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_objects_are_rows_however_they_are_strung_together_and_stay_so_when_some_go(tmp_path, name):
    path = tmp_path / "dump"
    path.write_text(SEQUENCES[name])
    assert read(path, "id", "label") == [{"id": str(number), "label": None} for number in (1, 2, 3)]
    with open_blocks(path) as blocks, blocks.write(tmp_path / "kept") as write:
        for block in blocks.read(None):
            write(Edited(block, np.array([True, False, True]), {"text": np.array([True, False, False])}))
    left = [(str(row["id"]), row["text"]) for row in read(tmp_path / "kept", "id", "text")]
    assert left == [("1", None), ("3", "x" * 3_000_000)]
    assert (tmp_path / "kept").read_text().startswith("[") == SEQUENCES[name].startswith("[")


def test_a_broken_first_line_does_not_hide_the_others(tmp_path):
    path = tmp_path / "rotated"
    path.write_text('{"id": 1, "tex\n' + json.dumps(ROWS[1]) + "\n")
    assert read(path, "id") == [{"id": None}, {"id": "2"}]
