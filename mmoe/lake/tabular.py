"""An open table of any size: what it is called for, block by block, and what is to become of a block's rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

BLOCK_ROWS = 65_536
DAMAGED = (pa.ArrowException, OSError, EOFError, ValueError, LookupError, RecursionError)
"""What parsers raise on files that are not what they seem. Their messages may quote values."""


def is_refusal(error: BaseException) -> bool:
    """Whether the system would not read or write (permissions, a full or failing disk): no word about the file."""
    return isinstance(error, OSError) and error.errno is not None


class Edited(NamedTuple):
    """A whole block of N rows, and what is to become of them."""

    block: pa.Table
    kept: NDArray[np.bool_]
    """(N,) rows that stay."""
    nulls: dict[str, NDArray[np.bool_]]
    """Column -> (N,) where it becomes null."""

    def table(self) -> pa.Table:
        table = self.block
        for name, mask in self.nulls.items():
            place = table.column_names.index(name)
            field = table.schema.field(place)
            values = pc.if_else(pa.array(mask), pa.scalar(None, field.type), table[name])
            table = table.set_column(place, field.with_nullable(True), values)
        return table.filter(pa.array(self.kept))


Write = Callable[[Path], AbstractContextManager[Callable[[Edited], None]]]


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """An open table."""

    names: tuple[str, ...]
    read: Callable[[Sequence[str] | None], Iterator[pa.Table]]
    """Blocks of these columns (None: all), in order. Text formats come as text."""
    write: Write
    """Opens a file of the same format."""
    metadata: dict[bytes, bytes] = field(default_factory=dict)
    sparse: bool = False
    """A row may have columns that `names` lacks; any may be read, and is null where a row has none."""
