"""Rows that share an event id: exact repeats are dropped, a later copy may fill a missing label, the rest conflicts."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmoe.schema import EVENT_ID

UNKNOWN = np.int16(-1000)
"""Stands for a null label; labels are int8."""


class Distinct(NamedTuple):
    table: pa.Table
    duplicates: int
    """Rows dropped that said nothing new."""
    label_fills: int
    """Rows dropped after one of their labels filled a null of the first copy."""
    conflicts: int
    """Rows dropped that contradict an earlier copy; what came first is kept."""


def drop_repeats(table: pa.Table, labels: tuple[str, ...]) -> Distinct:
    """Keep each event id's first row, in order. Rows without an id are kept for validation to judge."""
    codes, first = _first_rows(table[EVENT_ID])
    later = np.flatnonzero(first[codes] != np.arange(len(codes)))
    if not len(later):
        return Distinct(table, 0, 0, 0)
    contradicts = np.zeros(len(codes), dtype=bool)
    for name in (name for name in table.column_names if name not in (EVENT_ID, *labels)):
        contradicts[later] |= _differs(table[name], later, first[codes[later]])
    known = np.column_stack([pc.fill_null(table[name].cast(pa.int16()), UNKNOWN).to_numpy() for name in labels])
    truth = known[first]
    fills = 0
    for rows in _copies_in_turn(codes, later):
        now = truth[codes[rows]]
        contradicts[rows] |= ((known[rows] != now) & (known[rows] != UNKNOWN) & (now != UNKNOWN)).any(axis=1)
        new = (now == UNKNOWN) & (known[rows] != UNKNOWN) & ~contradicts[rows, None]
        truth[codes[rows]] = np.where(new, known[rows], now)
        fills += int(new.any(axis=1).sum())
    conflicts = int(contradicts.sum())
    kept = np.sort(first)
    settled = _with_labels(table.take(pa.array(kept)), labels, truth[codes[kept]])
    return Distinct(settled, duplicates=len(later) - conflicts - fills, label_fills=fills, conflicts=conflicts)


def _first_rows(ids: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """A code per row (rows without an id get one each), and the first row of each code."""
    codes = pc.fill_null(ids.combine_chunks().dictionary_encode().indices.cast(pa.int64()), -1).to_numpy()
    nameless = codes < 0
    codes = np.where(nameless, len(codes) + np.arange(len(codes)), codes)
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    return codes, first


def _copies_in_turn(codes: np.ndarray, later: np.ndarray) -> Iterator[np.ndarray]:
    """Every event's second row, then every event's third row, and so on."""
    ordered = later[np.argsort(codes[later], kind="stable")]
    starts = np.flatnonzero(np.diff(codes[ordered], prepend=-1))
    turn = np.arange(len(ordered)) - np.repeat(starts, np.diff(starts, append=len(ordered)))
    by_turn = ordered[np.argsort(turn, kind="stable")]
    yield from np.split(by_turn, np.cumsum(np.bincount(turn))[:-1])


def _with_labels(table: pa.Table, labels: tuple[str, ...], values: np.ndarray) -> pa.Table:
    for number, name in enumerate(labels):
        column = pa.array(values[:, number].astype(np.int8), mask=values[:, number] == UNKNOWN)
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    return table


def _differs(column: pa.ChunkedArray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Where two selections of a column differ; nulls are alike."""
    own, other = _comparable(column.take(pa.array(rows))), _comparable(column.take(pa.array(others)))
    same = pc.fill_null(pc.equal(own, other), False).to_numpy(zero_copy_only=False)
    both_missing = pc.and_(own.is_null(), other.is_null()).to_numpy(zero_copy_only=False)
    return np.asarray(~(same | both_missing))


def _comparable(values: pa.ChunkedArray) -> pa.Array:
    """Arrow compares no lists, so a list becomes the text of its elements."""
    array = values.combine_chunks()
    if not pa.types.is_list(array.type):
        return array
    return pc.binary_join(array.cast(pa.list_(pa.string())), "\x1f")
