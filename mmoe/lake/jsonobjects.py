"""A table in one JSON object, as data frames write it: split into columns and data, by column, or by index."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmoe.lake.tabular import Blocks, Edited

OPENING = re.compile(r'\{\s*"((?:[^"\\]|\\.)*)"\s*:\s*(?=[{\[])')
"""Up to the names of a split table, the first column's values, or the first row."""


class Held(NamedTuple):
    """A table in an object, and the object without some of its N rows."""

    columns: dict[str, list[Any]]
    """Column -> (N,) values."""
    left: Callable[[NDArray[np.int64], dict[str, list[Any]]], dict[str, Any]]
    """From the numbers of the rows that stay, and the columns as they have become."""


def table_in(content: dict[str, Any], compression: str | None) -> Blocks | None:
    """None for an object that holds no table."""
    names, data = content.get("columns"), content.get("data")
    if isinstance(names, list) and isinstance(data, list):
        return _blocks([str(name) for name in names], lambda: _split(content), compression)
    values = list(content.values())
    if len(values) < 2 or not all(value and type(value) is type(values[0]) for value in values):
        return None
    if isinstance(values[0], list) and all(len(one) == len(other) for one, other in pairwise(values)):
        return _blocks([*content], lambda: _by_column(content), compression)
    if not isinstance(values[0], dict) or any(one.keys() != other.keys() for one, other in pairwise(values)):
        return None
    if all(key.isdigit() for key in content):
        return _blocks([*values[0]], lambda: _by_index(content), compression)
    return _blocks([*content], lambda: _by_column(content), compression)


def spoilt_table(opening: str) -> Blocks | None:
    """What a table that is cut, damaged or too long says of its columns; None if it says nothing."""
    match = OPENING.match(opening)
    if match is None:
        return None
    names = [match[1]]
    try:
        if match[1] == "columns" or match[1].isdigit():
            names = [*json.JSONDecoder().raw_decode(opening, match.end())[0]]
    except (ValueError, RecursionError):
        return None
    return _blocks([str(name) for name in names], _unreadable, None)


def as_text(values: Sequence[Any]) -> pa.Array:
    """JSON values as text, the way a CSV file would have them. Half a surrogate pair stays escaped."""
    texts = [None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([text and text.encode("utf-8", "backslashreplace").decode() for text in texts], pa.string())


def encoded(text: str) -> bytes:
    """Half a surrogate pair, and a byte that is no UTF-8, as JSON escapes them."""
    return text.encode("utf-8", "backslashreplace")


def _blocks(names: list[str], held: Callable[[], Held], compression: str | None) -> Blocks:
    def read(columns: Sequence[str] | None) -> Iterator[pa.Table]:
        table = held().columns
        yield pa.table({name: as_text(table[name]) for name in (names if columns is None else columns)})

    @contextmanager
    def write(target: Path) -> Iterator[Callable[[Edited], None]]:
        def put(edited: Edited) -> None:
            table = held()
            kept = edited.kept.nonzero()[0]
            columns = {
                name: [None if name in edited.nulls and edited.nulls[name][row] else values[row] for row in kept]
                for name, values in table.columns.items()
            }
            sink.write(encoded(json.dumps(table.left(kept, columns), ensure_ascii=False)))

        with pa.output_stream(str(target), compression=compression) as sink:
            yield put

    return Blocks(names=tuple(names), read=read, write=write)


def _split(content: dict[str, Any]) -> Held:
    names, data, index = [str(name) for name in content["columns"]], content["data"], content.get("index")
    if not all(isinstance(row, list) and len(row) == len(names) for row in data):
        raise pa.ArrowInvalid("a row has not as many values as there are columns")

    def left(kept: NDArray[np.int64], columns: dict[str, list[Any]]) -> dict[str, Any]:
        rows = [list(row) for row in zip(*(columns[name] for name in names), strict=True)]
        numbered = {"index": [index[row] for row in kept]} if isinstance(index, list) else {}
        return {**content, **numbered, "data": rows}

    return Held({name: [row[place] for row in data] for place, name in enumerate(names)}, left)


def _by_column(content: dict[str, Any]) -> Held:
    def left(kept: NDArray[np.int64], columns: dict[str, list[Any]]) -> dict[str, Any]:
        return {name: _like(content[name], values, kept) for name, values in columns.items()}

    return Held({name: _values(column) for name, column in content.items()}, left)


def _by_index(content: dict[str, Any]) -> Held:
    rows = list(content.values())

    def left(kept: NDArray[np.int64], columns: dict[str, list[Any]]) -> dict[str, Any]:
        keys = [*content]
        return {
            keys[row]: {name: values[place] for name, values in columns.items()} for place, row in enumerate(kept)
        }  # fmt: skip

    return Held({name: [row[name] for row in rows] for name in rows[0]}, left)


def _values(column: Any) -> list[Any]:
    return list(column.values()) if isinstance(column, dict) else column


def _like(column: Any, values: list[Any], kept: NDArray[np.int64]) -> Any:
    if not isinstance(column, dict):
        return values
    keys = [*column]
    return {keys[row]: value for row, value in zip(kept, values, strict=True)}


def _unreadable() -> Held:
    raise pa.ArrowInvalid("a table in one object that is cut, damaged or too long to be held")
