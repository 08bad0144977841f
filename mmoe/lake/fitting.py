"""Whether a data folder can be this schema's at all, asked before anything is copied."""

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path

from mmoe.errors import SchemaError
from mmoe.lake.conform import required_columns
from mmoe.lake.files import UnreadableFileError, column_names
from mmoe.lake.sources import RawFile
from mmoe.schema import Schema, Table

SHOWN = 8


def require_fit(data: Path, files: Sequence[RawFile], schema: Schema) -> None:
    """At least one file must have every column that the schema names, side tables included.

    Files before it that do not are the business of quarantine. Raises SchemaError naming what is missing.
    """
    joined = {column for table in schema.source.tables for column in _table_columns(data, table)}
    keys = [table.key for table in schema.source.tables]
    wanted = list(dict.fromkeys([*required_columns(schema), *keys]))
    complaint = ""
    for file in files:
        try:
            present = column_names(file.path)
        except UnreadableFileError as error:
            complaint = complaint or f"{file.path}: {error}; no other file fits either. Give files that can be read."
            continue
        missing = [name for name in wanted if name not in {*present, *joined}]
        if not missing:
            return
        if not complaint or "columns missing" not in complaint:
            complaint = f"{file.path}: columns missing: {_nearest(missing, present)}. " + _advice(schema)
    raise SchemaError(complaint)


def _table_columns(data: Path, table: Table) -> Collection[str]:
    """What the side table adds to each row."""
    path = data / table.file
    if not path.is_file():
        raise SchemaError(f"{path}: no such file, but source.tables names it. Add the side table, or correct `file`.")
    try:
        present = column_names(path)
    except UnreadableFileError as error:
        raise SchemaError(f"{path}: {error}. Give a side table that can be read.") from error
    missing = [name for name in (table.key, *table.columns) if name not in present]
    if missing:
        raise SchemaError(
            f"{path}: columns missing: {_nearest(missing, present)}. Correct source.tables, or the side table."
        )
    return table.columns or [name for name in present if name != table.key]


def _nearest(missing: Sequence[str], present: Sequence[str]) -> str:
    described = []
    for name in missing[:SHOWN]:
        close = difflib.get_close_matches(name, present, n=1, cutoff=0.6)
        described.append(f"{name} (nearest there: {close[0]})" if close else name)
    rest = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return ", ".join(described) + rest


def _advice(schema: Schema) -> str:
    return f"Give data of schema {schema.name!r}, or set `column` of the features and labels in the schema file."
