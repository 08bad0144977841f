"""Parquet rows as pandas frames of bounded size, in the ways that an expectation may need to see them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BLOCK_ROWS = 1 << 18
HASHED_ROWS = 1 << 22
"""About as many rows' hashes, of 64 bits, are held at once."""


def unchanged(table: pa.Table) -> pa.Table:
    return table


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The rows of some Parquet files: all, or those of one value of a column."""

    paths: tuple[Path, ...]
    prepare: Callable[[pa.Table], pa.Table] = unchanged
    """Turns a table of rows into the columns that the expectations name."""
    where: tuple[str, str] | None = None
    """Only rows whose column of the first name holds the second."""
    columns: tuple[str, ...] | None = None
    """What to read; None: all."""

    def tables(self) -> Iterator[pa.Table]:
        """Tables of at most BLOCK_ROWS rows; an empty one comes first, so that no rows have their columns too."""
        empty = pq.read_schema(self.paths[0]).empty_table()
        yield self._part(empty.select(self.columns or empty.column_names))
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=self.columns):
                    yield self._part(pa.Table.from_batches([batch]))

    def frames(self) -> Iterator[Any]:
        return (table.to_pandas() for table in self.tables())

    def whole(self, columns: Sequence[str]) -> Any:
        """These columns of all rows in one frame."""
        return pa.concat_tables(table.select(columns) for table in self.tables()).to_pandas()

    def distinct(self, columns: Sequence[str]) -> Any:
        """Each combination of these columns' values once."""
        tables = (table.select(columns) for table in self.tables())
        seen = next(tables)
        for table in tables:
            seen = pa.concat_tables([seen, table]).group_by(list(columns)).aggregate([])
        return seen.to_pandas()

    def by_hash(self, columns: Sequence[str]) -> Iterator[Any]:
        """Frames of 64-bit hashes instead of values. Equal rows are in the same frame, incomplete ones in none.

        Two of n distinct values share a hash with a probability of about n² / 2⁶⁵: 3e-6 for 10 million.
        """
        rows = sum(pq.read_metadata(path).num_rows for path in self.paths)
        parts = max(1, -(-rows // HASHED_ROWS))
        for part in range(parts):
            yield pa.concat_tables(_hashed(table.select(columns), part, parts) for table in self.tables()).to_pandas()

    def _part(self, table: pa.Table) -> pa.Table:
        if self.where is not None:
            column, value = self.where
            table = table.filter(pc.equal(table[column], value))
        return self.prepare(table)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame that is small enough to be seen as it is, in every way."""

    frame: Any

    def frames(self) -> Iterator[Any]:
        yield self.frame

    def whole(self, columns: Sequence[str]) -> Any:
        return self.frame[list(columns)]

    distinct = whole

    def by_hash(self, columns: Sequence[str]) -> Iterator[Any]:
        yield self.whole(columns)


def _hashed(table: pa.Table, part: int, parts: int) -> pa.Table:
    """The hashes of rows whose first column's hash falls into this part."""
    from pandas.util import hash_array

    known = table.drop_null()
    words = {
        name: hash_array(known[name].to_numpy(), categorize=False) if known.num_rows else np.empty(0, np.uint64)
        for name in known.column_names
    }
    inside = words[table.column_names[0]] % np.uint64(parts) == part
    return pa.table({name: word[inside].view(np.int64) for name, word in words.items()})
