"""Rows that share an event id become one: exact repeats are dropped, a later copy may fill a label, the rest conflicts.

Of a label it counts when it was delivered. A claim that came once the label was final is firm: the first one stands.
One that came earlier is only taken where there is no firm one and the label has become final since; then the last one
stands.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmoe.schema import EVENT_ID

UPDATE, DELIVERED, SOURCE = "_update", "_delivered", "_source"
PASSING = (pa.field(UPDATE, pa.bool_()), pa.field(DELIVERED, pa.int16()), pa.field(SOURCE, pa.int32()))
"""Beside the canonical columns: whether a row only brings labels, days from its own day to that of the delivery, and
the number of the file that it came in."""
BESIDE = [field.name for field in PASSING]
UNKNOWN = np.int16(-1000)
"""Stands for a null label; labels are int8."""

Ints = NDArray[np.int64]
Claims = NDArray[np.int16]
Flags = NDArray[np.bool_]


class Repeats(NamedTuple):
    """Rows that were dropped, by reason."""

    duplicates: int = 0
    """They said nothing new."""
    label_fills: int = 0
    """One of their labels filled a null of the first copy."""
    conflicts: int = 0
    """They contradict an earlier copy; what came first is kept."""
    unmatched_updates: int = 0
    """They bring labels of an event that is not there."""


class Distinct(NamedTuple):
    table: pa.Table
    dropped: Repeats


def drop_repeats(table: pa.Table, maturity: Mapping[str, int], age: int) -> Distinct:
    """Keep each event id's first row, in order, without the columns of PASSING. Updates come after the rows they fill.

    `maturity`: days until each label is final; `age`: whole days that have passed since the day of these rows. Rows
    without an id are kept for validation to judge.
    """
    table = _updates_last(table)
    update = table[UPDATE].to_numpy()
    codes, first = _first_rows(table[EVENT_ID])
    unmatched = update[first][codes]
    later = np.flatnonzero((first[codes] != np.arange(len(codes))) & ~unmatched)
    firm, early = _claims(table, maturity, age)
    contradicts = _contradictions(table.drop_columns([*BESIDE, *maturity]), codes, first, later[~update[later]])
    turns = list(_copies_in_turn(codes, later))
    truth, fills = _settle(firm, early, codes, first, contradicts, turns)
    kept = np.sort(first[~update[first]])
    rows = table.drop_columns(BESIDE).take(pa.array(kept))
    conflicts, filled, strays = int(contradicts.sum()), int(fills.sum()), int(unmatched.sum())
    dropped = Repeats(len(later) - conflicts - filled, filled, conflicts, strays)
    return Distinct(_with_labels(rows, tuple(maturity), truth[codes[kept]]), dropped)


def _updates_last(table: pa.Table) -> pa.Table:
    update = table[UPDATE].to_numpy()
    return table.take(pa.array(np.argsort(update, kind="stable"))) if update.any() else table


def _first_rows(ids: pa.ChunkedArray) -> tuple[Ints, Ints]:
    """A code per row (rows without an id get one each), and the first row of each code."""
    codes = pc.fill_null(ids.combine_chunks().dictionary_encode().indices.cast(pa.int64()), -1).to_numpy()
    nameless = codes < 0
    codes = np.where(nameless, len(codes) + np.arange(len(codes)), codes)
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    return codes, first


def _claims(table: pa.Table, maturity: Mapping[str, int], age: int) -> tuple[Claims, Claims]:
    """Firm and early claims, a column a label; labels that are not final yet are unknown to both."""
    claims = np.column_stack([pc.fill_null(table[name].cast(pa.int16()), UNKNOWN).to_numpy() for name in maturity])
    days = np.array(list(maturity.values()))
    claims[:, days > age] = UNKNOWN
    firm = table[DELIVERED].to_numpy()[:, None] >= days
    return np.where(firm, claims, UNKNOWN), np.where(firm, UNKNOWN, claims)


def _contradictions(features: pa.Table, codes: Ints, first: Ints, later: Ints) -> Flags:
    contradicts = np.zeros(len(codes), dtype=bool)
    if len(later):
        for name in (name for name in features.column_names if name != EVENT_ID):
            contradicts[later] |= _differs(features[name], later, first[codes[later]])
    return contradicts


def _settle(
    firm: Claims, early: Claims, codes: Ints, first: Ints, contradicts: Flags, turns: list[Ints]
) -> tuple[Claims, Flags]:
    """The labels of each code, and the rows that filled one. Rows that contradict a firm label join `contradicts`."""
    fills = np.zeros(len(codes), dtype=bool)
    truth = firm[first]
    for rows in turns:
        now, claimed = truth[codes[rows]], firm[rows]
        contradicts[rows] |= ((claimed != now) & (claimed != UNKNOWN) & (now != UNKNOWN)).any(axis=1)
        new = (now == UNKNOWN) & (claimed != UNKNOWN) & ~contradicts[rows, None]
        truth[codes[rows]] = np.where(new, claimed, now)
        fills[rows] |= new.any(axis=1)
    open_now = truth == UNKNOWN
    truth = np.where(open_now, early[first], truth)
    for rows in turns:
        now, claimed = truth[codes[rows]], early[rows]
        new = open_now[codes[rows]] & (claimed != UNKNOWN) & (claimed != now) & ~contradicts[rows, None]
        truth[codes[rows]] = np.where(new, claimed, now)
        fills[rows] |= new.any(axis=1)
    return truth, fills


def _copies_in_turn(codes: Ints, later: Ints) -> Iterator[Ints]:
    """Every event's second row, then every event's third row, and so on."""
    if not len(later):
        return
    ordered = later[np.argsort(codes[later], kind="stable")]
    starts = np.flatnonzero(np.diff(codes[ordered], prepend=-1))
    turn = np.arange(len(ordered)) - np.repeat(starts, np.diff(starts, append=len(ordered)))
    by_turn = ordered[np.argsort(turn, kind="stable")]
    yield from np.split(by_turn, np.cumsum(np.bincount(turn))[:-1])


def _with_labels(table: pa.Table, labels: tuple[str, ...], values: Claims) -> pa.Table:
    for number, name in enumerate(labels):
        column = pa.array(values[:, number].astype(np.int8), mask=values[:, number] == UNKNOWN)
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    return table


def _differs(column: pa.ChunkedArray, rows: Ints, others: Ints) -> Flags:
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
