"""Ids to embedding rows: exact for 64-bit integers, equal for equal text, and never through floating point.

The hash is part of a trained model. Changing it needs a new HASH_VERSION, which checkpoints carry.
"""

import hashlib
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from mmoe.parsing import Frozen

HASH_VERSION = 1
MISSING = 0
Words = npt.NDArray[np.uint64]


def hash_rows(values: pa.Array, name: str, buckets: int) -> npt.NDArray[np.int64]:
    """(N,) int64 or string values of feature `name` -> (N,) embedding rows: 0 for null, else 1 + hash % buckets."""
    rows = (hash_words(values, name) % np.uint64(buckets)).astype(np.int64) + 1
    if values.null_count:
        rows[values.is_null().to_numpy(zero_copy_only=False)] = MISSING
    return rows


def hash_words(values: pa.Array, salt: str) -> Words:
    """(N,) int64 or string values -> (N,) uniform 64-bit hashes; nulls are as good as any value."""
    if pa.types.is_integer(values.type):
        integers: Words = pc.fill_null(values, 0).cast(pa.int64()).to_numpy(zero_copy_only=False).view(np.uint64)
        return splitmix64(integers ^ _salt(salt))
    encoded = values.dictionary_encode()
    unique = np.array([0, *(_text_word(text) for text in encoded.dictionary.to_pylist())], dtype=np.uint64)
    codes: npt.NDArray[np.int32] = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    words: Words = splitmix64(unique ^ _salt(salt))[codes + 1]
    return words


def splitmix64(words: Words) -> Words:
    """(N,) 64-bit words -> (N,) mixed words. Source: Steele, Lea and Flood 2014, as in java.util.SplittableRandom."""
    mixed = words + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


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


@cache
def _salt(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))


def _text_word(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
