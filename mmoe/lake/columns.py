"""Which columns raw files came with, and of which types, as far as their format tells any."""

import json
from collections.abc import Iterable, Mapping

import pyarrow as pa

from mmoe.lake.manifest import SourceColumns

ROWS, UPDATES = "rows", "label updates"
"""What a raw file brings; a side table goes by its name."""
SOURCE_COLUMNS = b"mmoe.source_columns"
"""Key of a Parquet file's metadata: the columns of the raw file that it was taken from, if it has not all of them."""
ColumnTypes = dict[str, set[str]]
"""Column -> the types that it came with; none where the format has none (CSV), or no value told one."""


def note(found: ColumnTypes, fields: Iterable[pa.Field], *, of_json: bool = False) -> None:
    """Add columns of a Parquet file, or of a block of JSON lines, to those found."""
    for field in fields:
        kind = _json_type(field.type) if of_json else _arrow_type(field.type)
        found.setdefault(field.name, set()).update({kind} if kind else ())


def note_file(found: ColumnTypes, schema: pa.Schema) -> None:
    """Add the columns that a Parquet file states it was taken from, or else its own."""
    try:
        stated = json.loads((schema.metadata or {})[SOURCE_COLUMNS])
        columns = {str(name): {str(each) for each in types} for name, types in stated.items()}
    except (KeyError, ValueError, AttributeError, TypeError):
        note(found, schema)
        return
    note_types(found, columns)


def with_source_columns(table: pa.Table, found: ColumnTypes) -> pa.Table:
    """The table, stating the columns of the file that it was taken from."""
    stated = json.dumps({name: sorted(types) for name, types in sorted(found.items())}).encode()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), SOURCE_COLUMNS: stated})


def note_types(found: ColumnTypes, columns: Mapping[str, Iterable[str]]) -> None:
    """Add columns with their types."""
    for name, types in columns.items():
        found.setdefault(name, set()).update(types)


def note_names(found: ColumnTypes, names: Iterable[str]) -> None:
    """Add columns of which only the names are known."""
    for name in names:
        found.setdefault(name, set())


def add(total: dict[str, ColumnTypes], kind: str, found: Mapping[str, Iterable[str]]) -> None:
    """Add one file's, or one day's, columns to those of all of their kind."""
    note_types(total.setdefault(kind, {}), found)


def frozen(total: dict[str, ColumnTypes]) -> SourceColumns:
    """By name, as a manifest keeps them."""
    return {
        kind: {name: tuple(sorted(types)) for name, types in sorted(columns.items())}
        for kind, columns in sorted(total.items())
    }


def _arrow_type(kind: pa.DataType) -> str:
    """By its name, but for what is only another encoding of the same; empty where every value is null."""
    if pa.types.is_null(kind):
        return ""
    if pa.types.is_dictionary(kind):
        return _arrow_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"list<{_arrow_type(kind.value_type)}>"
    return str(kind)


def _json_type(kind: pa.DataType) -> str:
    """JSON's own types: it has one for all numbers, and a date is text."""
    if pa.types.is_null(kind):
        return ""
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_list(kind):
        return "array"
    return "object" if pa.types.is_struct(kind) else "string"
