"""Side tables: loaded from the landing zone once a day, joined to every raw row by key."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmoe.errors import PartitionMissingError
from mmoe.lake.coerce import flat, to_int64, to_text
from mmoe.lake.columns import ColumnTypes
from mmoe.lake.files import TABLES, UnreadableFileError, read_file
from mmoe.lake.manifest import Problem, SourceFile, file_digest
from mmoe.schema import Schema, Table


@dataclass(frozen=True, kw_only=True)
class SideTable:
    key: str
    rows: pa.Table
    """Its columns without the key."""
    keys: pa.Array


@dataclass(frozen=True, kw_only=True)
class SideTables:
    tables: tuple[SideTable, ...]
    sources: tuple[SourceFile, ...]
    columns: dict[str, ColumnTypes]
    """Of each table that could be read, by the name of its file."""
    problems: tuple[Problem, ...]


def load_side_tables(landing: Path, schema: Schema) -> SideTables:
    """Read every side table. An absent one raises PartitionMissingError; a broken one is a problem of the day."""
    tables, sources, problems = [], [], []
    columns: dict[str, ColumnTypes] = {}
    for declared in schema.source.tables:
        path = landing / TABLES / declared.file
        name = f"{TABLES}/{declared.file}"
        if not path.is_file():
            raise PartitionMissingError(f"{path}: the side table is not there; deliver it, then clear this run.")
        sources.append(SourceFile(name=name, bytes=path.stat().st_size, sha256=file_digest(path)))
        try:
            found: ColumnTypes = {}
            tables.append(_load(path, declared, found))
            columns[name] = found
        except UnreadableFileError as error:
            problems.append(Problem(file=name, what=str(error)))
    return SideTables(tables=tuple(tables), sources=tuple(sources), columns=columns, problems=tuple(problems))


def join_side_tables(raw: pa.Table, side: SideTables) -> pa.Table:
    """Left join that keeps the rows' order. The log's own column wins over a side table's of the same name."""
    for table in side.tables:
        if table.key not in raw.column_names:
            continue  # reported as a missing column of the file
        own = set(raw.column_names)
        matches = _index_of(flat(raw[table.key]), table.keys)
        taken = table.rows.select([name for name in table.rows.column_names if name not in own]).take(matches)
        for name in taken.column_names:
            raw = raw.append_column(name, taken[name])
    return raw


def _load(path: Path, declared: Table, found: ColumnTypes) -> SideTable:
    wanted = {declared.key, *declared.columns} if declared.columns else None
    table = read_file(path, wanted, found)
    missing = sorted({declared.key, *declared.columns} - set(table.column_names))
    if missing:
        raise UnreadableFileError(f"columns missing: {', '.join(missing)}")
    keys = flat(table[declared.key])
    repeated = len(keys) - len(keys.unique())
    if repeated:
        raise UnreadableFileError(f"key {declared.key}: {repeated} rows repeat a key; each must occur once")
    return SideTable(key=declared.key, rows=table.drop_columns([declared.key]), keys=keys)


def _index_of(values: pa.Array, keys: pa.Array) -> pa.Array:
    """Each value's position among the keys, null where it is none of them. Ids compare as integers or as text."""
    if pa.types.is_integer(keys.type):
        return pc.index_in(to_int64(values).values, value_set=to_int64(keys).values, skip_nulls=True)
    return pc.index_in(to_text(values).values, value_set=to_text(keys).values, skip_nulls=True)
