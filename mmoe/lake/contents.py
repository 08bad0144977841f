"""What rows a file holds, found out by its content: its day and view type, and which labels are known.

Recognised, whatever the file's name: Parquet, Arrow IPC, CSV, TSV and JSON lines (plain or gzip, bzip2, zstd), in the
partition's columns, in the raw log's, or as a score set.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmoe.errors import LakeError
from mmoe.lake.blocks import open_blocks
from mmoe.lake.coerce import flat, to_label, to_text, to_time
from mmoe.lake.files import printable
from mmoe.lake.partitions import GROUP_ID
from mmoe.lake.tabular import DAMAGED, Blocks, is_refusal
from mmoe.schema import EVENT_ID, EVENT_TIME, VIEW_TYPE, Schema

DAY_US = 86_400_000_000
EPOCH = date(1970, 1, 1)
EXAMPLE_ID, HEAD, LABEL = "example_id", "head", "label"
SCORES_DAY = b"mmoe.day"
Place = tuple[date | None, str | None]
"""Day and view type of a row; None where the row does not say."""


class Contents(NamedTuple):
    """Counts only."""

    rows: Counter[Place]
    labels: Counter[tuple[date | None, str | None, str]]
    """Rows whose label is known, by day, view type and label."""
    readable: bool = True
    """False: a damaged file of a kind that holds rows."""

    @property
    def days(self) -> set[date]:
        return {day for day, _ in self.rows if day is not None}


class Layout(NamedTuple):
    """Which columns of a file say what."""

    time: str | None
    unit: str
    view_type: str | None
    labels: dict[str, str]
    """Label -> column."""
    head: str | None = None
    """Column that names the label of each row, where a file has one row a label."""
    day: date | None = None
    """Of all rows."""

    @property
    def columns(self) -> list[str]:
        named = [self.time, self.view_type, self.head, LABEL if self.head else None, *self.labels.values()]
        return list(dict.fromkeys(name for name in named if name is not None))


class Keyed(NamedTuple):
    """Day and view type of N rows: the distinct ones, and which one each row has."""

    places: list[Place]
    row: NDArray[np.int64]
    """(N,)"""


def inspect(
    path: Path, schema: Schema, day: date | None, *, own_days: bool = True, whole: bool = False
) -> Contents | None:
    """What the file holds; None for a file without rows of the log.

    `day` stands in for rows that do not say theirs; with `own_days` False, every row counts to it. With `whole`, a file
    that is damaged in any column is not readable, rather than in those that matter here. Raises LakeError
    when the system will not read the file, FileNotFoundError when it is gone.
    """
    found = Contents(Counter(), Counter())
    try:
        with opened(path, schema, day) as (blocks, layout):
            if blocks is None or layout is None:
                return None
            layout = layout if own_days else layout._replace(time=None)
            for block in blocks.read(None if whole else layout.columns):
                _count(block, schema, layout, day, found)
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        if is_refusal(error):
            said = f"{printable(str(path))}: cannot be read ({getattr(error, 'strerror', None)})"
            raise LakeError(f"{said}; see its permissions and disk, then run it again.") from None
        return Contents(Counter({(day, None): 0}), Counter(), readable=False)
    return found


@contextmanager
def opened(path: Path, schema: Schema, day: date | None) -> Iterator[tuple[Blocks | None, Layout | None]]:
    """The file's blocks and layout; None each where it is none with rows of the log."""
    with open_blocks(path) as blocks:
        layout = layout_of(_names(blocks, schema), blocks.metadata, schema, day) if blocks is not None else None
        yield blocks, layout


def _names(blocks: Blocks, schema: Schema) -> tuple[str, ...]:
    """The file's columns, and where rows may leave some out, those that could occur."""
    if not blocks.sparse:
        return blocks.names
    labels = [label.column or name for name, label in schema.labels.items()]
    return tuple(dict.fromkeys((*blocks.names, schema.view_type.column, *labels)))


def layout_of(
    names: Collection[str], metadata: dict[bytes, bytes], schema: Schema, day: date | None = None
) -> Layout | None:
    """By the columns' names: a partition's, a score set's, the raw log's, or rows that tell no time."""
    if {EXAMPLE_ID, HEAD, LABEL} <= {*names}:
        stated = metadata.get(SCORES_DAY)
        own = date.fromisoformat(stated.decode()) if stated else day
        return Layout(None, "", VIEW_TYPE if VIEW_TYPE in names else None, {}, head=HEAD, day=own)
    if {EVENT_ID, EVENT_TIME, VIEW_TYPE, GROUP_ID} <= {*names}:
        return Layout(EVENT_TIME, "timestamp", VIEW_TYPE, {name: name for name in schema.heads if name in names})
    view_type = schema.view_type.column if schema.view_type.column in names else None
    sources = {name: label.column or name for name, label in schema.labels.items()}
    labels = {name: column for name, column in sources.items() if column in names}
    if schema.event_time.column in names:
        return Layout(schema.event_time.column, schema.event_time.unit, view_type, labels)
    if {*schema.event_id} <= {*names} or EVENT_ID in names or EXAMPLE_ID in names:
        return Layout(None, "", view_type, labels)
    return None


def keyed(block: pa.Table, schema: Schema, layout: Layout, day: date | None) -> Keyed:
    """Each row's own day, or `day` where it has none; and its view type."""
    numbers = _day_numbers(block, schema, layout, layout.day or day)
    named = _view_types(block, schema, layout)
    types = named.dictionary_encode()
    codes = pc.fill_null(types.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    texts = [None, *types.dictionary.to_pylist()]
    pairs, index = np.unique((numbers + 1) * len(texts) + codes + 1, return_inverse=True)
    places: list[Place] = [
        (EPOCH + timedelta(days=int(number) - 1) if number else None, texts[code])
        for number, code in zip(pairs // len(texts), pairs % len(texts), strict=True)
    ]
    return Keyed(places, index)


def known_label(block: pa.Table, column: str) -> NDArray[np.bool_]:
    """(N,) where the label is 0 or 1 rather than null."""
    return np.asarray(to_label(_values(block, column)).values.is_valid().to_numpy(zero_copy_only=False))


def _count(block: pa.Table, schema: Schema, layout: Layout, day: date | None, found: Contents) -> None:
    if not block.num_rows:
        return
    places, index = keyed(block, schema, layout, day)
    for label, mask in _known_labels(block, layout):
        for (own, view_type), count in zip(places, np.bincount(index[mask], minlength=len(places)), strict=True):
            if count:
                found.labels[own, view_type, label] += int(count)
    for place, count in zip(places, np.bincount(index, minlength=len(places)), strict=True):
        found.rows[place] += int(count)


def _known_labels(block: pa.Table, layout: Layout) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if layout.head is None:
        for label, column in layout.labels.items():
            if column in block.column_names:
                yield label, known_label(block, column)
        return
    heads = _values(block, layout.head)
    known = known_label(block, LABEL)
    for head in pc.unique(heads).drop_null().to_pylist():
        same = pc.fill_null(pc.equal(heads, head), False)
        yield str(head), known & np.asarray(same.to_numpy(zero_copy_only=False))


def _day_numbers(block: pa.Table, schema: Schema, layout: Layout, day: date | None) -> NDArray[np.int64]:
    """(N,) days since 1970 by the schema's days; -1 where neither the row nor `day` says."""
    default = (day - EPOCH).days if day is not None else -1
    if layout.time is None or layout.time not in block.column_names:
        return np.full(block.num_rows, default, dtype=np.int64)
    times = to_time(_values(block, layout.time), layout.unit).values
    shifted = times.cast(pa.int64()).to_numpy(zero_copy_only=False) + schema.event_time.day_starts_utc * 3_600_000_000
    known = times.is_valid().to_numpy(zero_copy_only=False)
    return np.where(known, np.nan_to_num(shifted) // DAY_US, default).astype(np.int64)


def _view_types(block: pa.Table, schema: Schema, layout: Layout) -> pa.Array:
    if layout.view_type is None or layout.view_type not in block.column_names:
        return pa.nulls(block.num_rows, pa.string())
    values = to_text(_values(block, layout.view_type)).values
    if schema.view_type.other is None:
        return values
    listed = pc.is_in(values, value_set=pa.array(schema.view_type.names, pa.string()))
    return pc.if_else(pc.or_(listed, values.is_null()), values, schema.view_type.other)


def _values(block: pa.Table, column: str) -> pa.Array:
    """One array, null where text is no UTF-8: it says nothing."""
    values = flat(block[column])
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return pa.array([_decoded(text) for text in values.cast(pa.binary()).to_pylist()], pa.string())
    return values


def _decoded(text: bytes | None) -> str | None:
    try:
        return None if text is None else text.decode()
    except UnicodeDecodeError:
        return None
