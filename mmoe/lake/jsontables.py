"""JSON as tables, for whoever must know what a file holds: lines, an array or a sequence of objects, one object."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from mmoe.lake.jsonobjects import as_text, encoded, spoilt_table, table_in
from mmoe.lake.tabular import BLOCK_ROWS, Blocks, Edited

LONGEST_LINE = 1 << 26
TRIED_LINES = 100
"""A cut or broken first line does not hide the others."""
CHUNK = 1 << 20
AS_IT_WAS = ("utf-8", "surrogateescape")
"""Text with bytes that are no UTF-8, and back to the same bytes."""
BETWEEN = " \t\r\n,[]"
ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
"""Line breaks in JSON stand between its parts only; in a text they are escaped."""
LINE = "\0line"
"""Column of a block that holds each row's bytes as they were."""


def open_json(path: Path, compression: str | None) -> Blocks | None:
    """The table in the file; its types may change from row to row. None where there are no objects."""
    with _lines(path, compression) as lines:
        tried = (_object(line) for line in islice(iter(lambda: lines.readline(LONGEST_LINE), ""), TRIED_LINES))
        first = next((found for found in tried if found is not None), None)
    if first is None:
        return _sequence(path, compression)
    if (table := table_in(first, compression)) is not None:
        return table

    def read(columns: Sequence[str] | None) -> Iterator[pa.Table]:
        done = 0
        if columns is not None:
            try:
                for table in _parsed(path, compression, columns):
                    done += table.num_rows
                    yield table
                return
            except pa.ArrowInvalid:
                pass  # a type changes from here on
        with _lines(path, compression) as lines:
            filled = islice((line for line in lines if line.strip()), done, None)
            yield from _tables(((line, _object(line)) for line in filled), columns)

    @contextmanager
    def write(target: Path) -> Iterator[Callable[[Edited], None]]:
        with pa.output_stream(str(target), compression=compression) as sink:
            yield lambda edited: sink.write(b"".join(_kept(edited)))

    return Blocks(names=_fields(first), read=read, write=write, sparse=True)


def _sequence(path: Path, compression: str | None) -> Blocks | None:
    """Objects one after the other, however they are broken into lines, in an array or not."""
    with _lines(path, compression) as stream:
        opening = stream.read(CHUNK).lstrip()
        try:
            first, _ = json.JSONDecoder().raw_decode(opening.lstrip(BETWEEN))
        except (ValueError, RecursionError):
            return spoilt_table(opening)
    if not isinstance(first, dict):
        return None
    if (table := table_in(first, compression)) is not None:
        return table
    array = opening.startswith("[")

    def read(columns: Sequence[str] | None) -> Iterator[pa.Table]:
        with _lines(path, compression) as stream:
            yield from _tables(_elements(stream), columns)

    @contextmanager
    def write(target: Path) -> Iterator[Callable[[Edited], None]]:
        with pa.output_stream(str(target), compression=compression) as sink:
            before = b"[" if array else b""

            def add(edited: Edited) -> None:
                nonlocal before
                for text in _kept(edited):
                    sink.write(before + text.strip().translate(ONE_LINE))
                    before = b",\n" if array else b"\n"

            yield add
            sink.write(b"]\n" if array and before != b"[" else b"[]\n" if array else b"\n")

    return Blocks(names=_fields(first), read=read, write=write, sparse=True)


def _fields(first: dict[str, Any]) -> tuple[str, ...]:
    """Without what holds objects or lists of its own: a row's id, time and labels do not, and a description of rows,
    such as a schema, does."""
    return tuple(name for name, value in first.items() if not isinstance(value, dict | list))


def _elements(stream: io.TextIOWrapper) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Each object and its text. Raises ValueError for what is none, or ends in the middle."""
    decoder, text, place = json.JSONDecoder(), "", 0
    while True:
        while place < len(text) and text[place] in BETWEEN:
            place += 1
        try:
            value, end = decoder.raw_decode(text, place)
        except ValueError:
            more = stream.read(CHUNK)
            text, place = text[place:] + more, 0
            if not more and not text:
                return
            if not more or len(text) > LONGEST_LINE:
                raise
            continue
        yield text[place:end], value if isinstance(value, dict) else None
        place = end


def _parsed(path: Path, compression: str | None, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Four times as fast as line by line, as long as every column keeps the type of the first block."""
    with pa.input_stream(str(path), compression=compression) as stream:
        for batch in pyarrow.json.open_json(stream):
            named = {name: batch[name] if name in batch.schema.names else pa.nulls(len(batch)) for name in columns}
            yield pa.table(named)


def _tables(
    rows: Iterator[tuple[str, dict[str, Any] | None]], columns: Sequence[str] | None
) -> Iterator[pa.Table]:  # fmt: skip
    while block := list(islice(rows, BLOCK_ROWS)):
        objects = [found or {} for _, found in block]
        names = columns if columns is not None else {name for row in objects for name in row if _is_text(name)}
        table = pa.table({name: as_text([row.get(name) for row in objects]) for name in names})
        if columns is None:
            table = table.append_column(
                LINE, pa.array([text.encode(*AS_IT_WAS) for text, _ in block], pa.large_binary())
            )
        yield table


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kept(edited: Edited) -> Iterator[bytes]:
    """The text of each row that stays: its own bytes, unless something of it becomes null."""
    for row, text in enumerate(edited.block[LINE].to_pylist()):
        if edited.kept[row]:
            nulled = [name for name, mask in edited.nulls.items() if mask[row]]
            changed = (_object(text.decode(*AS_IT_WAS)) or {}) | dict.fromkeys(nulled) if nulled else None
            yield text if changed is None else encoded(json.dumps(changed, ensure_ascii=False) + "\n")


@contextmanager
def _lines(path: Path, compression: str | None) -> Iterator[io.TextIOWrapper]:
    with pa.input_stream(str(path), compression=compression) as stream:
        yield io.TextIOWrapper(stream, encoding="utf-8-sig", errors=AS_IT_WAS[1])


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
