"""Tables of any size, a block at a time, in a format told by the file's first bytes and not by its name."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mmoe.lake.jsontables import open_json
from mmoe.lake.tabular import BLOCK_ROWS, Blocks, Edited, Write

HEAD_BYTES = 1 << 16
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
PARQUET, ARROW, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
DELIMITERS = (",", "\t", ";", "|")


@contextmanager
def open_blocks(path: Path) -> Iterator[Blocks | None]:
    """The table in the file, or None for a file that is none.

    Raises one of DAMAGED for a damaged table, here or while it is read.
    """
    with path.open("rb") as handle:
        head = handle.read(8)
    if head.startswith(PARQUET):
        with pq.ParquetFile(path) as file:
            yield _parquet(file)
    elif head.startswith(ARROW):
        with pa.memory_map(str(path)) as source:
            yield _arrow(pa.ipc.open_file(source))
    elif head.startswith(ARROW_STREAM):
        yield _arrow_stream(path)
    else:
        compression = next((name for magic, name in COMPRESSED.items() if head.startswith(magic)), None)
        yield _text(path, compression)


def _parquet(file: pq.ParquetFile) -> Blocks:
    schema = file.schema_arrow

    def read(columns: Sequence[str] | None) -> Iterator[pa.Table]:
        for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=columns):
            yield pa.Table.from_batches([batch])

    @contextmanager
    def write(target: Path) -> Iterator[Callable[[Edited], None]]:
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            yield lambda edited: writer.write_table(edited.table().cast(schema))

    return Blocks(names=tuple(schema.names), read=read, metadata=schema.metadata or {}, write=write)


def _arrow(file: Any) -> Blocks:
    def read(columns: Sequence[str] | None) -> Iterator[pa.Table]:
        for number in range(file.num_record_batches):
            yield _checked(file.get_batch(number), columns)

    schema = file.schema
    write = _arrow_writer(pa.ipc.new_file, schema)
    return Blocks(names=tuple(schema.names), read=read, metadata=schema.metadata or {}, write=write)


def _arrow_stream(path: Path) -> Blocks:
    def read(columns: Sequence[str] | None) -> Iterator[pa.Table]:
        with pa.memory_map(str(path)) as source:
            for batch in pa.ipc.open_stream(source):
                yield _checked(batch, columns)

    with pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_stream(source).schema
    write = _arrow_writer(pa.ipc.new_stream, schema)
    return Blocks(names=tuple(schema.names), read=read, metadata=schema.metadata or {}, write=write)


def _checked(batch: pa.RecordBatch, columns: Sequence[str] | None) -> pa.Table:
    """Offsets and lengths of a damaged file would end the process when they are followed."""
    batch.validate(full=True)
    table = pa.Table.from_batches([batch])
    return table if columns is None else table.select(columns)


def _arrow_writer(open_writer: Any, schema: pa.Schema) -> Write:
    @contextmanager
    def write(target: Path) -> Iterator[Callable[[Edited], None]]:
        with open_writer(str(target), schema) as writer:
            yield lambda edited: writer.write_table(edited.table().cast(schema))

    return write


def _text(path: Path, compression: str | None) -> Blocks | None:
    """JSON where the text opens an object or an array, else delimited text with a header of at least two names.

    Bytes of zero, as UTF-16 has them, do not hide a header: whoever reads on is told that the text is damaged.
    """
    with pa.input_stream(str(path), compression=compression) as stream:
        raw = stream.read(HEAD_BYTES)
    if raw.startswith((PARQUET, ARROW)):
        raise pa.ArrowInvalid("a table that was compressed once more is not looked into")
    head = raw.replace(b"\0", b"").decode("utf-8-sig", errors="replace").lstrip()
    if head.startswith(("{", "[")):
        return open_json(path, compression)
    lines = head.splitlines(keepends=True)
    delimiter = max(DELIMITERS, key=lines[0].count) if lines else ""
    if not delimiter or delimiter not in lines[0]:
        return None
    return _csv(path, compression, delimiter, tuple(next(csv.reader(lines, delimiter=delimiter))))


def _csv(path: Path, compression: str | None, delimiter: str, names: tuple[str, ...]) -> Blocks:
    """Text that is no UTF-8 comes, and is written, byte for byte: one such value must not keep the other rows."""
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)

    def read(columns: Sequence[str] | None) -> Iterator[pa.Table]:
        convert = pyarrow.csv.ConvertOptions(
            include_columns=columns, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False,
            check_utf8=False,
        )  # fmt: skip
        with pa.input_stream(str(path), compression=compression) as stream:
            for batch in pyarrow.csv.open_csv(stream, parse_options=parse, convert_options=convert):
                yield pa.Table.from_batches([batch])

    @contextmanager
    def write(target: Path) -> Iterator[Callable[[Edited], None]]:
        schema = pa.schema([(name, pa.string()) for name in names])
        options = pyarrow.csv.WriteOptions(delimiter=delimiter)
        with (
            pa.output_stream(str(target), compression=compression) as sink,
            pyarrow.csv.CSVWriter(sink, schema, write_options=options) as writer,
        ):
            yield lambda edited: writer.write_table(edited.table())

    return Blocks(names=names, read=read, write=write)
