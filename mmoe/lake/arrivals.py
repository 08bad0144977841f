"""What has arrived for a day, block by block in passing columns, and what was found on the way."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmoe.lake.columns import ROWS, UPDATES, ColumnTypes, add
from mmoe.lake.conform import conform, required_columns
from mmoe.lake.files import UnreadableFileError, column_names, landing_folder, printable, read_blocks
from mmoe.lake.manifest import Problem, SourceFile, file_digest
from mmoe.lake.repeats import PASSING
from mmoe.lake.tables import SideTables, join_side_tables
from mmoe.schema import Schema


class Arrivals:
    """Reads the files of a day's landing folder, each content once."""

    def __init__(self, landing: Path, day: date, schema: Schema, side: SideTables) -> None:
        self.landing = landing
        self.folder = landing_folder(landing, day)
        self.schema = schema
        self.side = side
        self.sources: list[SourceFile] = []
        self.problems: list[Problem] = []
        self.unreadable: set[int] = set()
        """Numbers of files that turned out to be unreadable, maybe after some of their rows had been read."""
        self.columns: dict[str, ColumnTypes] = dict(side.columns)
        """Of the files that were accepted. What a file without a header has for names are values: it is not."""
        self.whole_groups = True
        self.counts = {"rows_read": 0, "duplicates": 0, "repeated_files": 0, "empty_files": 0}
        self._rows_of: dict[str, int] = {}
        self._wanted = {*required_columns(schema), *(table.key for table in schema.source.tables)}

    def blocks(self, paths: list[Path]) -> Iterator[pa.Table]:
        for path in paths:
            name = printable(path.relative_to(self.folder).as_posix())
            if not self._lies_in_the_zone(path):
                self.problems.append(Problem(file=name, what="a link to a folder, or out of the landing zone"))
                continue
            sha256 = file_digest(path)
            if sha256 in self._rows_of:
                self.counts["repeated_files"] += 1
                self.counts["rows_read"] += self._rows_of[sha256]
                self.counts["duplicates"] += self._rows_of[sha256]
                continue
            self._rows_of[sha256] = 0
            self.sources.append(SourceFile(name=name, bytes=path.stat().st_size, sha256=sha256))
            yield from self._file(path, self.sources[-1])

    def _file(self, path: Path, source: SourceFile) -> Iterator[pa.Table]:
        number, rows, whole = len(self.sources) - 1, 0, True
        misfits: Counter[tuple[str, str]] = Counter()
        found: ColumnTypes = {}
        try:
            update = is_update(column_names(path), self.schema)
            seen: set[str] = set()
            for raw in read_blocks(path, self._wanted, found):
                block = raw if update else join_side_tables(raw, self.side)
                seen.update(block.column_names)
                if block.num_rows:
                    conformed = conform(_with_every_column(block, self.schema), self.schema)
                    misfits.update(conformed.misfits)
                    whole = whole and (conformed.whole_groups or update)
                    rows += block.num_rows
                    yield with_passing(conformed.table, update=update, delivered=0, source=number)
            _refuse_missing(self.schema, seen, update=update)
        except UnreadableFileError as error:
            self.unreadable.add(number)
            del self._rows_of[source.sha256]  # the same bytes under a better name may be readable
            self.problems.append(Problem(file=source.name, what=str(error)))
            return
        add(self.columns, UPDATES if update else ROWS, found)
        self._rows_of[source.sha256] = rows
        self.whole_groups = self.whole_groups and whole
        self.counts["rows_read"] += rows
        self.counts["empty_files"] += rows == 0
        self.problems += [
            Problem(file=source.name, column=column, what=what, rows=count) for (column, what), count in misfits.items()
        ]

    def _lies_in_the_zone(self, path: Path) -> bool:
        return path.is_file() and path.resolve().is_relative_to(self.landing.resolve())


def is_update(present: list[str], schema: Schema) -> bool:
    """Whether a file with these columns only brings labels: it has the event's id and labels, and nothing that a row
    is made of beside them."""
    known = set(present) & set(required_columns(schema))
    labels = {label.column or name for name, label in schema.labels.items()}
    identity = {*schema.event_id, schema.event_time.column}
    complete = known.issuperset(required_columns(schema))
    return not complete and known <= labels | identity and bool(known & labels) and known.issuperset(schema.event_id)


def with_passing(rows: pa.Table, *, update: bool, delivered: int, source: int) -> pa.Table:
    for field, value in zip(PASSING, (update, delivered, source), strict=True):
        column = pa.array(np.full(rows.num_rows, value), field.type)
        rows = rows.append_column(field, column)
    return rows


def _with_every_column(block: pa.Table, schema: Schema) -> pa.Table:
    """Absent columns as nulls: a block of JSON lines may lack one, and a label update has few."""
    for name in required_columns(schema):
        if name not in block.column_names:
            block = block.append_column(name, pa.nulls(block.num_rows))
    return block


def _refuse_missing(schema: Schema, seen: set[str], *, update: bool) -> None:
    if update and is_update(list(seen), schema):
        return
    missing = [name for name in required_columns(schema) if name not in seen]
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise UnreadableFileError(f"another schema: columns missing: {', '.join(missing[:8])}{more}")
