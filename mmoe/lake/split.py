"""Raw files whose names tell no day: each row goes to the day of its event."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmoe.lake.coerce import flat, to_time
from mmoe.lake.columns import ColumnTypes, with_source_columns
from mmoe.lake.conform import required_columns
from mmoe.lake.files import UnreadableFileError, read_file
from mmoe.lake.sources import RawFile
from mmoe.schema import Schema

DAY_US = 86_400_000_000
EPOCH = date(1970, 1, 1)


def days_in(file: RawFile, schema: Schema) -> set[date]:
    """Days of the file's events. Raises UnreadableFileError."""
    numbers = _day_numbers(read_file(file.path, {schema.event_time.column}), schema)
    return {EPOCH + timedelta(days=int(number)) for number in np.unique(numbers)}


def split_by_day(file: RawFile, schema: Schema) -> list[tuple[date, pa.Table]]:
    """The columns that the schema needs, as they are, one table a day in order of days; rows keep their order.

    Each table states all columns of the file, read or not, so that ingest misses none that is new. Rows without a
    readable time go to the file's most frequent day, where ingest finds and counts them. The whole file is held in
    memory. Raises UnreadableFileError.
    """
    wanted = {*required_columns(schema), *(table.key for table in schema.source.tables)}
    found: ColumnTypes = {}
    table = with_source_columns(read_file(file.path, wanted, found), found)
    numbers = _day_numbers(table, schema)
    return [
        (EPOCH + timedelta(days=int(number)), table.filter(pa.array(numbers == number)))
        for number in np.unique(numbers)
    ]  # fmt: skip


def _day_numbers(table: pa.Table, schema: Schema) -> NDArray[np.int64]:
    """Days since 1970 of every row."""
    column = schema.event_time.column
    if column not in table.column_names:
        raise UnreadableFileError(f"another schema: columns missing: {column}")
    times = to_time(flat(table[column]), schema.event_time.unit).values.cast(pa.int64())
    known = times.drop_null().to_numpy()
    if not len(known):
        raise UnreadableFileError(f"no row has a readable time in column {column}")
    shift = schema.event_time.day_starts_utc * 3_600_000_000
    days, rows = np.unique((known + shift) // DAY_US, return_counts=True)
    most_frequent = int(days[rows.argmax()])
    micros = pc.fill_null(times, most_frequent * DAY_US - shift).to_numpy()
    return np.asarray((micros + shift) // DAY_US)
