"""Arrow numbers as NumPy arrays, without what Array.to_numpy imports on its first call: pandas, 45 MB and half a second
of every training.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def filled(numbers: pa.Array, missing: float) -> npt.NDArray[Any]:
    """(N,) integers or floats, with `missing` for nulls; without nulls a view that cannot be written to."""
    if not numbers.null_count:
        return np.from_dlpack(numbers)
    known = pa.Array.from_buffers(numbers.type, len(numbers), [None, numbers.buffers()[1]], offset=numbers.offset)
    values = np.from_dlpack(known).copy()
    values[nulls(numbers)] = missing
    return values


def nulls(array: pa.Array) -> npt.NDArray[np.bool_]:
    """(N,) True where there is no value."""
    if not array.null_count:
        return np.zeros(len(array), dtype=np.bool_)
    bits = np.frombuffer(array.buffers()[0], dtype=np.uint8)
    valid: npt.NDArray[np.bool_] = np.unpackbits(bits, count=array.offset + len(array), bitorder="little").view(
        np.bool_
    )
    return ~valid[array.offset :]


def mask(kept: npt.NDArray[np.bool_]) -> pa.BooleanArray:
    """(N,) for Table.filter."""
    return pa.Array.from_buffers(pa.bool_(), len(kept), [None, pa.py_buffer(np.packbits(kept, bitorder="little"))])


def flat(column: pa.ChunkedArray) -> pa.Array:
    """One array, with dictionary encoding as it is."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return column.unify_dictionaries().combine_chunks()
