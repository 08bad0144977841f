"""Raw files of any data folder into the landing zone, by the schema's `source`. Content is judged later, at ingest.

A landing zone holds dt=YYYY-MM-DD/<files> and _tables/<side tables>. Where file names tell the day, files are copied
as they are; where they do not, rows are split by their event's day and the needed columns land as Parquet.
"""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from mmoe.lake.files import TABLES, UnreadableFileError, landing_folder
from mmoe.lake.fitting import require_fit
from mmoe.lake.manifest import file_digest
from mmoe.lake.sources import RawFile, raw_files
from mmoe.lake.split import days_in, split_by_day
from mmoe.schema import Schema


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What a data folder has for the days asked for, all of it in the landing zone now."""

    days: dict[date, tuple[str, ...]]
    """Names below each day's landing folder."""
    tables: tuple[str, ...]
    """Side tables, below _tables/."""
    written: int
    """Files that were not there yet, or with other bytes."""
    unsorted: dict[str, str]
    """Files that could not be split by day, and why: they stay in the data folder only."""


def find_days(data: Path, schema: Schema) -> list[date]:
    """Days for which the folder has files (or rows). Raises SchemaError like `deliver`."""
    files = raw_files(data, schema)
    require_fit(data, files, schema)
    found: set[date] = set()
    for file in files:
        try:
            found |= {file.day} if file.day else days_in(file, schema)
        except UnreadableFileError:
            continue
    return sorted(found)


def deliver(data: Path, schema: Schema, landing: Path, *, days: Collection[date] | None = None) -> Delivery:
    """Bring files of `days` (None: all) and the side tables into the landing zone, each written aside and renamed.

    Runs again without effect: a file that is there with the same bytes is left alone, one with other bytes replaced.
    A damaged file is delivered like any other, so that its day ends in quarantine. Raises SchemaError when the folder
    is absent, nothing matches the pattern, no readable file has the schema's columns, or a side table is unusable.
    """
    files = raw_files(data, schema)
    require_fit(data, files, schema)
    tables = tuple(table.file for table in schema.source.tables)
    written = sum(_copy(data / name, landing / TABLES / name) for name in tables)
    landed: dict[date, list[str]] = {}
    unsorted: dict[str, str] = {}
    for file in files:
        try:
            for day, name, changed in _land(file, schema, landing, days):
                landed.setdefault(day, []).append(name)
                written += changed
        except UnreadableFileError as error:
            unsorted[file.name] = str(error)
    return Delivery(
        days={day: tuple(landed[day]) for day in sorted(landed)}, tables=tables, written=written, unsorted=unsorted
    )


def _land(
    file: RawFile, schema: Schema, landing: Path, days: Collection[date] | None
) -> list[tuple[date, str, bool]]:  # fmt: skip
    """Day, name and whether bytes changed, for each landing file that comes of a raw one."""
    if file.day is not None:
        if days is not None and file.day not in days:
            return []
        return [(file.day, file.name, _copy(file.path, landing_folder(landing, file.day) / file.name))]
    name = f"{file.name}.parquet"
    pieces = [(day, rows) for day, rows in split_by_day(file, schema) if days is None or day in days]
    return [(day, name, _write(rows, landing_folder(landing, day) / name)) for day, rows in pieces]


def _copy(source: Path, target: Path) -> bool:
    """True if the target was absent or had other bytes."""
    if _same(source, target):
        return False
    aside = _aside(target)
    shutil.copyfile(source, aside)
    aside.replace(target)
    return True


def _write(rows: pa.Table, target: Path) -> bool:
    aside = _aside(target)
    parquet.write_table(rows, aside, compression="zstd")
    if _same(aside, target):
        aside.unlink()
        return False
    aside.replace(target)
    return True


def _same(one: Path, other: Path) -> bool:
    return (
        other.is_file() and one.stat().st_size == other.stat().st_size and file_digest(one) == file_digest(other)
    )  # fmt: skip


def _aside(target: Path) -> Path:
    """In the same folder, so that it expires with it; by process, so that two deliveries never share one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")
