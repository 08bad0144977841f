"""Raw landing files to Arrow tables: Parquet, CSV and JSON lines, the latter two gzipped or not."""

from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from mmoe.errors import MmoeError

TABLES = "_tables"
NULL_TEXTS = ["", "null", "NULL", "None", "NaN", "nan", "NA", "N/A", "\\N"]
PARQUET, CSV, TSV, JSON_LINES = {".parquet", ".pq"}, {".csv"}, {".tsv"}, {".jsonl", ".ndjson", ".json"}


class UnreadableFileError(MmoeError):
    """A raw file cannot be read; the message says why without quoting its content."""


def landing_folder(landing: Path, day: date) -> Path:
    return landing / f"dt={day.isoformat()}"


def landing_files(landing: Path, day: date) -> list[Path]:
    """The day's raw files by name. Names that start with "." or "_" are markers or unfinished writes."""
    folder = landing_folder(landing, day)
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not path.name.startswith((".", "_")))


def read_file(path: Path, columns: Collection[str] | None) -> pa.Table:
    """Those of `columns` (None: all) that the file has. Text formats come as text. Raises UnreadableFileError."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    gzipped = suffixes[-1:] == [".gz"]
    kind = (suffixes[-2:-1] if gzipped else suffixes[-1:]) or [""]
    if path.stat().st_size == 0:
        raise UnreadableFileError("the file is empty (0 bytes)")
    try:
        if kind[0] in PARQUET and not gzipped:
            return _read_parquet(path, columns)
        if kind[0] in CSV | TSV:
            return _read_csv(path, columns, "\t" if kind[0] in TSV else ",", gzipped)
        if kind[0] in JSON_LINES:
            return _read_json(path, columns, gzipped)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError):  # their messages may quote values
        name = kind[0].removeprefix(".").upper() + (" in gzip" if gzipped else "")
        raise UnreadableFileError(f"not readable as {name}: truncated, damaged or of another format") from None
    raise UnreadableFileError("unknown kind of file; use .parquet, .csv, .tsv, .jsonl (or the last three with .gz)")


def _read_parquet(path: Path, columns: Collection[str] | None) -> pa.Table:
    with pq.ParquetFile(path) as file:
        table = file.read(columns=_wanted(file.schema_arrow.names, columns))
    table.validate(full=True)  # text that is no UTF-8 would fail later, outside this function
    return table


def _read_csv(path: Path, columns: Collection[str] | None, delimiter: str, gzipped: bool) -> pa.Table:
    """Every column as text, so that coercion is the schema's business and not a guess from the first block."""
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with _open(path, gzipped) as stream:
        header = pyarrow.csv.open_csv(stream, parse_options=parse).schema.names
    convert = pyarrow.csv.ConvertOptions(
        include_columns=_wanted(header, columns),
        column_types=dict.fromkeys(header, pa.string()),
        null_values=NULL_TEXTS,
        strings_can_be_null=True,
    )
    with _open(path, gzipped) as stream:
        return pyarrow.csv.read_csv(stream, parse_options=parse, convert_options=convert)


def _read_json(path: Path, columns: Collection[str] | None, gzipped: bool) -> pa.Table:
    with _open(path, gzipped) as stream:
        table = pyarrow.json.read_json(stream)
    return table.select(_wanted(table.column_names, columns))


def _wanted(present: list[str], columns: Collection[str] | None) -> list[str]:
    wanted = [name for name in present if columns is None or name in columns]
    repeated = sorted({name for name in wanted if wanted.count(name) > 1})
    if repeated:
        raise UnreadableFileError(f"columns that occur more than once: {', '.join(repeated)}")
    return wanted


def _open(path: Path, gzipped: bool) -> Any:
    return pa.input_stream(str(path), compression="gzip" if gzipped else None)
