"""Rows that share an event id: exact repeats are dropped, a later copy may fill a missing label, the rest conflicts."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmoe.schema import EVENT_ID


class Distinct(NamedTuple):
    table: pa.Table
    duplicates: int
    """Rows dropped that said nothing new."""
    label_fills: int
    """Rows dropped after one of their labels filled a null of the first copy."""
    conflicts: int
    """Rows dropped that contradict an earlier copy; the first one is kept."""


def drop_repeats(table: pa.Table, labels: tuple[str, ...]) -> Distinct:
    """Keep each event id's first row, in order. Rows without an id are kept for validation to judge."""
    codes, first = _first_rows(table[EVENT_ID])
    kept = first[codes] == np.arange(len(codes))
    if kept.all():
        return Distinct(table, 0, 0, 0)
    later = np.flatnonzero(~kept)
    contradicts = np.zeros(len(codes), dtype=bool)
    for name in (name for name in table.column_names if name not in (EVENT_ID, *labels)):
        contradicts[later] |= _differs(table[name], table[name].take(pa.array(first[codes])), later)
    fills = np.zeros(len(codes), dtype=bool)
    for name in labels:
        values, filled = _fill(table[name], codes, first, ~contradicts)
        contradicts[later] |= _differs(table[name], values, later) & _valid(table[name])[later]
        fills[filled] = True
        table = table.set_column(table.column_names.index(name), table.schema.field(name), values)
    fills &= ~contradicts
    return Distinct(
        table.filter(pa.array(kept)),
        duplicates=len(later) - int(contradicts.sum()) - int(fills.sum()),
        label_fills=int(fills.sum()),
        conflicts=int(contradicts.sum()),
    )


def _first_rows(ids: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """A code per row (rows without an id get one each), and the first row of each code."""
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.float64)
    nameless = np.isnan(codes)
    codes[nameless] = len(codes) + np.flatnonzero(nameless)
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    return codes, first


def _fill(
    label: pa.ChunkedArray, codes: np.ndarray, first: np.ndarray, trusted: np.ndarray
) -> tuple[pa.Array, np.ndarray]:
    """The label as the first trusted copy that knows it says, for every copy; and the rows that filled a null."""
    known = np.flatnonzero(_valid(label) & trusted)
    code, position = np.unique(codes[known], return_index=True)
    source = first.copy()
    source[code] = known[position]
    return label.combine_chunks().take(pa.array(source[codes])), source[source != first]


def _valid(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.is_valid().to_numpy())


def _differs(column: pa.ChunkedArray, reference: pa.Array | pa.ChunkedArray, rows: np.ndarray) -> np.ndarray:
    own, other = _comparable(column.take(pa.array(rows))), _comparable(reference.take(pa.array(rows)))
    same = pc.fill_null(pc.equal(own, other), False).to_numpy(zero_copy_only=False)
    both_missing = pc.and_(own.is_null(), other.is_null()).to_numpy(zero_copy_only=False)
    return np.asarray(~(same | both_missing))


def _comparable(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Arrow compares no lists, so a list becomes the text of its elements."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if not pa.types.is_list(array.type):
        return array
    return pc.binary_join(array.cast(pa.list_(pa.string())), "\x1f")
