import json

import pytest

from mmoe.lake.blocks import open_blocks


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


@pytest.mark.parametrize("content", [b"", b"plain words", b"\x00\x01,\x02", b'{"a": [\n1, 2]\n}', b"[1, 2]"])
def test_what_is_no_table_has_no_blocks(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with open_blocks(path) as blocks:
        assert blocks is None
