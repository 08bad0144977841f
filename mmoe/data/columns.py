"""A row group's columns by name, a few of them in memory at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

AT_ONCE = 4
"""Columns that are decoded together: 2 MB, which a cache holds until they are encoded."""


@dataclass(kw_only=True)
class RowGroupColumns:
    """Columns are decoded when they are asked for, with those that follow them in `names`, and forgotten when the next
    ones are: asked for in that order, each is read once.
    """

    parquet: pq.ParquetFile
    index: int
    names: Sequence[str]
    kept: pa.Array | None = None
    """True for the rows that are meant; None: all."""
    _held: dict[str, pa.ChunkedArray] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        rows: int = self.parquet.metadata.row_group(self.index).num_rows
        return rows if self.kept is None else self.kept.true_count

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        if name not in self._held:
            self._held = {}
            first = self.names.index(name)
            wanted = list(self.names[first : first + AT_ONCE])
            table = self.parquet.read_row_group(self.index, columns=wanted, use_threads=False)
            table = table if self.kept is None else table.filter(self.kept)
            self._held = {column: table[column] for column in table.column_names}
        return self._held[name]
