"""The Parquet files of a score set as one table of the columns that are wanted, or a refusal that names the column."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmoe.data.score_set import flat
from mmoe.errors import EvaluationError, NoScoresError

GROUP = "group_id"


def parquet_files(sources: Sequence[Path]) -> list[Path]:
    files = []
    for source in sources:
        found = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
        if not found or not all(path.is_file() for path in found):
            raise NoScoresError(f"{source}: no Parquet file there; give a score set's file or its folder.")
        files += found
    return files


def wanted_columns(cluster: str | None, slices: Sequence[str]) -> set[str]:
    known = {"example_id", "head", "logit", "probability", "label", "weight", "day", "model_digest", GROUP}
    return known | set(slices) | ({cluster} if cluster else set())


def refuse_repeated(path: Path, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise EvaluationError(f"{path}: column {', '.join(repeated)} is there more than once; keep one.")


def read_tables(files: Sequence[Path], wanted: set[str]) -> tuple[pa.Table, list[dict[str, str]]]:
    tables, metadata = [], []
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                stored, names = file.schema_arrow.metadata or {}, file.schema_arrow.names
                read = [name for name in names if name in wanted]
                refuse_repeated(path, read)
                tables.append(file.read(read))
        except (OSError, pa.ArrowException) as error:
            raise EvaluationError(
                f"{path}: not readable as Parquet ({type(error).__name__}); write it again."
            ) from error
        metadata.append({key.decode(): value.decode(errors="replace") for key, value in stored.items()})
    try:
        together = pa.concat_tables(
            [table.replace_schema_metadata(None) for table in tables], promote_options="permissive"
        )
    except pa.ArrowException as error:
        raise EvaluationError(f"{files[0]} and others: columns differ in type; write them alike.") from error
    return together, metadata


def refuse_unreadable(table: pa.Table, origin: Path, keys: Sequence[str]) -> None:
    """What rows are matched, grouped and cut by must be plain values, and bytes among them text."""
    for name in (name for name in keys if name in table.column_names):
        column = table[name]
        if pa.types.is_nested(column.type):
            raise EvaluationError(f"{origin}: {name} is of type {column.type}; give one plain value a row.")
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            try:
                column.cast(pa.string())
            except pa.ArrowException as error:
                raise EvaluationError(f"{origin}: {name}: bytes that are not UTF-8; write text or integers.") from error


def refuse_absent(table: pa.Table, origin: Path, cluster: str | None) -> None:
    present = set(table.column_names)
    needed = {"example_id": "example_id", "label": "label", "logit": "logit"} | ({cluster: cluster} if cluster else {})
    if "probability" in present:
        del needed["logit"]
    absent = [name for name in needed if name not in present]
    if absent:
        stored = sorted(pq.read_schema(origin).names)
        close = difflib.get_close_matches(absent[0], stored, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "; see docs/score-sets.md."
        raise EvaluationError(f"{origin}: no column {', '.join(absent)} among {', '.join(stored)}{hint}")


def plain(column: Any) -> pa.Array:
    """One array, dictionaries decoded."""
    values = flat(column)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
