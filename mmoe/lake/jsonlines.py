"""JSON lines to Arrow tables, a block of whole lines at a time, each block with the types that its own lines have."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.json

from mmoe.lake.coerce import NO_TEXT

LARGEST_EXACT = 2.0**53


def json_blocks(stream: Any, block_bytes: int) -> Iterator[pa.Table]:
    """Parse a binary stream; at least one table, maybe without rows. Raises ArrowInvalid for what is no JSON lines."""
    rest, parsed = b"", False
    while content := stream.read(block_bytes):
        lines, newline, rest = (rest + content).rpartition(b"\n")
        if len(rest) > block_bytes:
            raise pa.ArrowInvalid("a line is longer than a block")
        if lines.strip():
            parsed = True
            yield _table(lines + newline)
    if rest.strip() or not parsed:
        yield _table(rest)


def _table(lines: bytes) -> pa.Table:
    try:
        table = _read(lines, None)
        dated = [pa.field(field.name, _as_text(field.type)) for field in table.schema if _guessed(field.type)]
        return _read(lines, pa.schema(dated)) if dated else table
    except pa.ArrowInvalid:
        return _mixed_table(lines)


def _read(lines: bytes, explicit: pa.Schema | None) -> pa.Table:
    table = pyarrow.json.read_json(
        pa.BufferReader(lines),
        read_options=pyarrow.json.ReadOptions(block_size=max(len(lines), 1)),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=explicit),
    )
    table.validate(full=True)  # text that is no UTF-8 would fail later, outside this module
    return table


def _guessed(kind: pa.DataType) -> bool:
    """Arrow takes text that looks like a date for one; what a text means is the schema's business."""
    return bool(pa.types.is_timestamp(kind) or (pa.types.is_list(kind) and pa.types.is_timestamp(kind.value_type)))


def _as_text(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.string()) if pa.types.is_list(kind) else pa.string()


def _mixed_table(lines: bytes) -> pa.Table:
    """Lines that give one column values of several types: it becomes text, or lists of text where most of its values
    are lists; coercion reads either strictly."""
    try:
        text = lines.decode("utf-8-sig").split("\n")
        rows = [json.loads(line, object_pairs_hook=_distinct) for line in text if line.strip()]
    except (ValueError, RecursionError):
        raise pa.ArrowInvalid("no JSON lines") from None
    if not all(isinstance(row, dict) for row in rows):
        raise pa.ArrowInvalid("a line is no object")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice in an object")
    return dict(pairs)


def _column(values: list[Any]) -> pa.Array:
    known = [value for value in values if value is not None]
    if not known:
        return pa.nulls(len(values))
    lists = sum(isinstance(value, list) for value in known)
    if len({type(value) for value in known}) == 1 and not lists:
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError):
            pass
    if lists > len(known) - lists:
        return pa.array([None if value is None else _texts(value) for value in values], pa.list_(pa.string()))
    return pa.array([_text(value) for value in values], pa.string())


def _texts(value: Any) -> list[str | None]:
    return [_text(each) for each in value] if isinstance(value, list) else [NO_TEXT]


def _text(value: Any) -> str | None:
    """A single value as the column would have it if all of its values were of that type."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return NO_TEXT
    whole = isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_EXACT
    return json.dumps(int(value) if whole else value)
