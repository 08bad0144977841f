"""Raw landing files as Arrow tables, a block at a time: Parquet, or CSV and JSON lines, compressed or not."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mmoe.errors import MmoeError
from mmoe.lake.columns import ColumnTypes, note, note_file, note_names
from mmoe.lake.jsonlines import json_blocks

TABLES = "_tables"
NULL_TEXTS = ["", "null", "NULL", "None", "NaN", "nan", "NA", "N/A", "\\N"]
PARQUET, CSV, TSV, JSON_LINES = {".parquet", ".pq"}, {".csv"}, {".tsv"}, {".jsonl", ".ndjson", ".json"}
COMPRESSION = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
BLOCK_BYTES = 8 << 20
"""Of text that is parsed at once; no row may be longer."""
BLOCK_ROWS = 65_536


class UnreadableFileError(MmoeError):
    """A raw file cannot be read; the message says why without quoting its content."""


class Form(NamedTuple):
    suffix: str
    compression: str | None

    def __str__(self) -> str:
        return self.suffix.removeprefix(".").upper() + (f" in {self.compression}" if self.compression else "")


def landing_folder(landing: Path, day: date) -> Path:
    return landing / f"dt={day.isoformat()}"


def landing_files(landing: Path, day: date) -> list[Path]:
    """The day's raw files by name. Names that start with "." or "_" are markers or unfinished writes.

    A symbolic link to a folder is listed like a file, so that whatever it hides is missed by name and not in silence.
    """
    folder = landing_folder(landing, day)
    found = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sorted(path for path in found if not path.name.startswith((".", "_")))


def printable(name: str) -> str:
    """A name that somebody else chose, fit to be stored and logged: what is no character of a line is escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def column_names(path: Path) -> list[str]:
    """By the header where there is one, for JSON lines by the first block. Raises UnreadableFileError."""
    if form_of(path).suffix in PARQUET:
        with readable(path):
            return list(pq.read_schema(path).names)
    return list(next(read_blocks(path, None), pa.table({})).column_names)


def read_file(path: Path, columns: Collection[str] | None, found: ColumnTypes | None = None) -> pa.Table:
    """The whole file as one table; `found` as for `read_blocks`. Raises UnreadableFileError."""
    blocks = list(read_blocks(path, columns, found))
    with readable(path):
        return pa.concat_tables(blocks, promote_options="permissive")


def read_blocks(
    path: Path, columns: Collection[str] | None, found: ColumnTypes | None = None
) -> Iterator[pa.Table]:  # fmt: skip
    """Those of `columns` (None: all) that the file has, one block after the other; at least one, maybe without rows.

    Text formats come as text. A block of JSON lines has the columns, and the types, that its own lines have.
    `found` is told every column that the file has, asked for or not. Raises UnreadableFileError at whichever block is
    the first that cannot be read.
    """
    form = form_of(path)
    found = {} if found is None else found
    with readable(path):
        if form.suffix in PARQUET:
            yield from _parquet_blocks(path, columns, found)
        elif form.suffix in CSV | TSV:
            yield from _csv_blocks(path, form, columns, found)
        else:
            with _open(path, form.compression) as stream:
                for block in json_blocks(stream, BLOCK_BYTES):
                    note(found, block.schema, of_json=True)
                    yield block.select(_wanted(block.column_names, columns))


def form_of(path: Path) -> Form:
    """By the name's suffixes. Raises UnreadableFileError for a kind that is not read, and for an empty file."""
    form = _form([suffix.lower() for suffix in path.suffixes])
    if path.stat().st_size == 0:
        raise UnreadableFileError("the file is empty (0 bytes)")
    if form.suffix not in PARQUET | CSV | TSV | JSON_LINES or (form.compression and form.suffix in PARQUET):
        raise UnreadableFileError(
            "unknown kind of file; use .parquet, .csv, .tsv, .jsonl (or the last three with .gz, .zst, .bz2)"
        )
    return form


def _form(suffixes: list[str]) -> Form:
    compression = COMPRESSION.get(suffixes[-1]) if suffixes else None
    kinds = suffixes[:-1] if compression else suffixes
    return Form(kinds[-1] if kinds else "", compression)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Arrow's messages may quote values, so none of them leaves this module."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeError):
        raise UnreadableFileError(f"not readable as {form_of(path)}: truncated, damaged or of another format") from None


def _parquet_blocks(path: Path, columns: Collection[str] | None, found: ColumnTypes) -> Iterator[pa.Table]:
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True) as file:
        note_file(found, file.schema_arrow)
        wanted = _wanted(file.schema_arrow.names, columns)
        if file.metadata.num_rows == 0:
            yield file.schema_arrow.empty_table().select(wanted)
        for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=wanted):
            block = pa.Table.from_batches([batch])
            block.validate(full=True)  # text that is no UTF-8 would fail later, outside this module
            yield block


def _csv_blocks(path: Path, form: Form, columns: Collection[str] | None, found: ColumnTypes) -> Iterator[pa.Table]:
    """Every column as text, so that coercion is the schema's business and not a guess from the first block."""
    parse = pyarrow.csv.ParseOptions(delimiter="\t" if form.suffix in TSV else ",", newlines_in_values=True)
    read = pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES)
    with _open(path, form.compression) as stream:
        header = pyarrow.csv.open_csv(stream, read_options=read, parse_options=parse).schema.names
    note_names(found, header)
    convert = pyarrow.csv.ConvertOptions(
        include_columns=_wanted(header, columns),
        column_types=dict.fromkeys(header, pa.string()),
        null_values=NULL_TEXTS,
        strings_can_be_null=True,
    )
    with _open(path, form.compression) as stream:
        reader = pyarrow.csv.open_csv(stream, read_options=read, parse_options=parse, convert_options=convert)
        yield reader.schema.empty_table()
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _wanted(present: list[str], columns: Collection[str] | None) -> list[str]:
    wanted = [name for name in present if columns is None or name in columns]
    repeated = sorted({name for name in wanted if wanted.count(name) > 1})
    if repeated:
        raise UnreadableFileError(f"columns that occur more than once: {', '.join(repeated)}")
    return wanted


def _open(path: Path, compression: str | None) -> Any:
    return pa.input_stream(str(path), compression=compression)
