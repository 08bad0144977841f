"""Landing zone to staged day: read, join, coerce, drop repeats. Faults of the data are data, not exceptions."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmoe.errors import PartitionMissingError
from mmoe.lake.conform import conform, day_offsets, group_type, required_columns
from mmoe.lake.files import UnreadableFileError, landing_files, landing_folder, read_file
from mmoe.lake.horizon import read_horizons
from mmoe.lake.manifest import Problem, SourceFile, file_digest
from mmoe.lake.partitions import canonical_schema
from mmoe.lake.reader import refuse_expired
from mmoe.lake.repeats import drop_repeats
from mmoe.lake.rewrite import unexpired
from mmoe.lake.staging import Staged, save_staged
from mmoe.lake.store import Store
from mmoe.lake.tables import SideTables, join_side_tables, load_side_tables
from mmoe.schema import EVENT_ID, EVENT_TIME, Schema


def stage_day(store: Store, landing: Path, schema: Schema, day: date) -> Staged:
    """Bring a day's landing files into canonical form under _staging/. Runs again with the same outcome.

    Files and values that do not fit the schema become `Staged.problems`. Raises PartitionMissingError when no file
    (or no side table) has arrived and PartitionExpiredError when the day is behind the retention horizon.
    """
    refuse_expired(store, day)
    paths = landing_files(landing, day)
    if not paths:
        raise PartitionMissingError(
            f"No landing files for {day} under {landing_folder(landing, day)}; when they arrive, clear this run or "
            "backfill with reprocess=failed."
        )
    side = load_side_tables(landing, schema)
    raw = _read_all(paths, landing_folder(landing, day), schema, side)
    table, misfits = _conform_all(raw, schema, day)
    distinct = drop_repeats(table, schema.heads)
    kept = unexpired(distinct.table, schema, day, read_horizons(store))
    rows = kept.sort_by([(EVENT_TIME, "ascending"), (EVENT_ID, "ascending")])
    counts = raw.counts | {
        "duplicates": raw.counts["duplicates"] + distinct.duplicates,
        "label_fills": distinct.label_fills,
        "conflicts": distinct.conflicts,
        "expired_rows": len(distinct.table) - len(kept),
        "off_day_rows": int((day_offsets(rows[EVENT_TIME], schema, day) != 0).sum()),
    }
    problems = (*side.problems, *raw.problems, *misfits)
    sources = (*raw.sources, *side.sources)
    return save_staged(store, schema, day, rows, counts=counts, problems=problems, sources=sources)


class _Raw:
    """The day's readable files, and what was found on the way."""

    def __init__(self) -> None:
        self.tables: list[tuple[str, pa.Table]] = []
        self.sources: list[SourceFile] = []
        self.problems: list[Problem] = []
        self.counts = {"rows_read": 0, "duplicates": 0, "repeated_files": 0, "empty_files": 0}


def _read_all(paths: list[Path], folder: Path, schema: Schema, side: SideTables) -> _Raw:
    raw = _Raw()
    rows_of: dict[str, int] = {}
    wanted = {*required_columns(schema), *(table.key for table in schema.source.tables)}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        sha256 = file_digest(path)
        if sha256 in rows_of:
            raw.counts["repeated_files"] += 1
            raw.counts["rows_read"] += rows_of[sha256]
            raw.counts["duplicates"] += rows_of[sha256]
            continue
        rows_of[sha256] = 0
        raw.sources.append(SourceFile(name=name, bytes=path.stat().st_size, sha256=sha256))
        try:
            table = _with_every_column(read_file(path, wanted), schema, side)
        except UnreadableFileError as error:
            raw.problems.append(Problem(file=name, what=str(error)))
            continue
        rows_of[sha256] = table.num_rows
        raw.counts["rows_read"] += table.num_rows
        raw.counts["empty_files"] += table.num_rows == 0
        if table.num_rows:
            raw.tables.append((name, table))
    return raw


def _with_every_column(table: pa.Table, schema: Schema, side: SideTables) -> pa.Table:
    joined = join_side_tables(table, side)
    missing = [name for name in required_columns(schema) if name not in joined.column_names]
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise UnreadableFileError(f"another schema: columns missing: {', '.join(missing[:8])}{more}")
    return joined.select(list(required_columns(schema)))


def _conform_all(raw: _Raw, schema: Schema, day: date) -> tuple[pa.Table, list[Problem]]:
    group = group_type(schema, [table for _, table in raw.tables])
    tables = [canonical_schema(schema, group).empty_table()]
    problems: list[Problem] = []
    for name, table in raw.tables:
        conformed = conform(table, schema, group, name)
        tables.append(conformed.table)
        problems += conformed.problems
        far = int((np.abs(day_offsets(conformed.table[EVENT_TIME], schema, day)) > 1).sum())
        if far:
            what = f"events more than a day away from {day}; deliver them under their own day"
            problems.append(Problem(file=name, column=EVENT_TIME, what=what, rows=far))
    return pa.concat_tables(tables), problems
