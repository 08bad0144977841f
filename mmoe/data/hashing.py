"""Ids to embedding rows, by hash or by count: exact for 64-bit integers, equal for equal text, never through floats.

The hash is part of a trained model. Changing it needs a new HASH_VERSION, which checkpoints carry.
"""

import hashlib
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from mmoe.data.arrays import filled, nulls
from mmoe.parsing import Frozen

HASH_VERSION = 1
MISSING = 0
SMALL = 1 << 17
"""Ids below this are looked up: half a megabyte a feature."""
Words = npt.NDArray[np.uint64]
TableRows = npt.NDArray[np.int32]


def hash_rows(values: pa.Array, name: str, buckets: int, into: TableRows) -> None:
    """(N,) int64 or text values of feature `name` -> (N,) embedding rows: 0 for null, else 1 + hash % buckets.

    Small ids are looked up in a table of their rows, text is hashed once per distinct value.
    """
    if pa.types.is_integer(values.type):
        integers = _integers(values)
        if _within(integers, SMALL):
            look_up(small_ids(name, buckets), integers, into)
        else:
            into[:] = to_rows(_hashed(integers, name), buckets)
    else:
        encoded = _encoded(values)
        look_up(to_rows(_distinct_words(encoded, name), buckets), _codes(encoded), into)
    if values.null_count:
        into[nulls(values)] = MISSING


def dense_rows(values: pa.Array, buckets: int, into: TableRows) -> None:
    """(N,) int64 ids counted from 0 -> (N,) embedding rows: 0 for null, else 1 + id. An id that is not below `buckets`
    shares the row of its remainder, so that ids which are newer than the table are not lost.
    """
    integers = _integers(values)
    into[:] = integers if _within(integers, buckets) else integers % buckets
    into += 1
    if values.null_count:
        into[nulls(values)] = MISSING


def look_up(table: TableRows, places: npt.NDArray[Any], into: TableRows) -> None:
    """into = table[places], for places that are known to lie in the table: numpy copies once more to check them."""
    table.take(places, out=into, mode="wrap")


def hash_words(values: pa.Array, salt: str) -> Words:
    """(N,) int64 or text values -> (N,) uniform 64-bit hashes; nulls are as good as any value."""
    if pa.types.is_integer(values.type):
        return _hashed(_integers(values), salt)
    encoded = _encoded(values)
    words: Words = _distinct_words(encoded, salt).take(_codes(encoded))
    return words


def splitmix64(words: Words) -> Words:
    """(N,) 64-bit words -> (N,) mixed words. Source: Steele, Lea and Flood 2014, as in java.util.SplittableRandom."""
    mixed = words + np.uint64(0x9E3779B97F4A7C15)
    shifted = mixed >> np.uint64(30)
    mixed ^= shifted
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= np.right_shift(mixed, np.uint64(27), out=shifted)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= np.right_shift(mixed, np.uint64(31), out=shifted)
    return mixed


def to_rows(hashes: Words, buckets: int) -> TableRows:
    """1 + hash % buckets; overwrites `hashes`. By a quotient, as numpy vectorises // by a scalar, but not %."""
    quotient = hashes // np.uint64(buckets)
    quotient *= np.uint64(buckets)
    hashes -= quotient
    rows = hashes.astype(np.int32)
    rows += 1
    return rows


@lru_cache(maxsize=256)
def small_ids(name: str, buckets: int) -> TableRows:
    """(SMALL,) the rows of the ids below SMALL: one look-up costs a fifth of a hash."""
    return to_rows(_hashed(np.arange(SMALL), name), buckets)


class GroupShare(Frozen):
    """A share of all groups (users or requests), the same on every day and for every model."""

    salt: str
    share: float = Field(gt=0, lt=1)
    keep: bool
    """True: only rows of these groups. False: all rows but theirs."""

    def mask(self, group_id: pa.Array) -> npt.NDArray[np.bool_]:
        """(N,) group ids -> (N,) True for the rows to keep."""
        inside = hash_words(group_id, f"group share {self.salt}") < np.uint64(self.share * 2.0**64)
        return inside if self.keep else ~inside


def _integers(values: pa.Array) -> npt.NDArray[np.int64]:
    """A view of the values, where there are no nulls; else a copy with zeros for them."""
    return filled(values.cast(pa.int64()), 0)


def _within(integers: npt.NDArray[np.int64], end: int) -> bool:
    """0 <= each < end: what is negative is large without its sign."""
    return bool(integers.view(np.uint64).max(initial=0) < end)


def _hashed(integers: npt.NDArray[np.int64], salt: str) -> Words:
    return splitmix64(integers.view(np.uint64) ^ _salt(salt))


def _encoded(values: pa.Array) -> pa.DictionaryArray:
    return values if pa.types.is_dictionary(values.type) else values.dictionary_encode()


def _distinct_words(encoded: pa.DictionaryArray, salt: str) -> Words:
    """Hashes of a null and of each distinct text."""
    words = np.array([0, *(_text_word(text) for text in encoded.dictionary.to_pylist())], dtype=np.uint64)
    return splitmix64(words ^ _salt(salt))


def _codes(encoded: pa.DictionaryArray) -> npt.NDArray[np.int32]:
    """(N,) places in what _distinct_words gives."""
    return filled(encoded.indices, -1) + 1


@cache
def _salt(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))


def _text_word(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
