"""mmoe.data.hashing: exact, stable, uniform."""

import numpy as np
import pyarrow as pa
import pytest

from mmoe.data import hashing
from mmoe.data.hashing import SMALL, GroupShare, hash_words, splitmix64

MASK = (1 << 64) - 1


def splitmix64_reference(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) & MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def hash_rows(values: pa.Array, name: str, buckets: int) -> hashing.TableRows:
    rows = np.empty(len(values), dtype=np.int32)
    hashing.hash_rows(values, name, buckets, rows)
    return rows


def dense_rows(values: pa.Array, buckets: int) -> hashing.TableRows:
    rows = np.empty(len(values), dtype=np.int32)
    hashing.dense_rows(values, buckets, rows)
    return rows


def test_splitmix64_equals_the_published_sequence() -> None:
    assert splitmix64(np.array([0], np.uint64))[0] == 0xE220A8397B1DCDAF
    words = np.array([1, 2**63, MASK, 0x9E3779B97F4A7C15], np.uint64)
    assert splitmix64(words).tolist() == [splitmix64_reference(int(word)) for word in words]


def test_hashes_outlive_releases() -> None:
    """Trained embeddings depend on these: a change needs a new HASH_VERSION."""
    assert hash_rows(pa.array([0, 1, -1, 2**62]), "user_id", 1000).tolist() == [817, 349, 954, 102]
    assert hash_rows(pa.array(["", "a", "日本"]), "country", 1000).tolist() == [49, 149, 211]


def test_neighbouring_ids_beyond_float_precision_differ() -> None:
    ids = [16777216, 16777217, 2**53, 2**53 + 1]
    assert len(set(hash_words(pa.array(ids), "ad_id").tolist())) == 4


def test_null_is_row_zero_and_no_value_is() -> None:
    rows = hash_rows(pa.array([None, *range(5000)]), "ad_id", 7)
    assert rows[0] == 0 and rows[1:].min() == 1 and rows[1:].max() == 7
    assert hash_rows(pa.array([None, "x", None]), "country", 1).tolist() == [0, 1, 0]
    assert hash_rows(pa.array([None, None], pa.string()), "country", 5).tolist() == [0, 0]


def test_a_value_hashes_alike_in_every_chunk_and_apart_in_every_feature() -> None:
    text = pa.array(["a", "b", "a", None])
    assert hash_words(text, "f").tolist()[:2] == hash_words(text[:2], "f").tolist()
    assert hash_words(text[1:], "f")[0] == hash_words(text, "f")[1]
    assert (hash_words(text[:2], "f") != hash_words(text[:2], "g")).all()


@pytest.mark.parametrize("buckets", [1, 2, 7, 1000, 2**20, 2**31 - 2])
def test_ids_small_and_large_alike_hash_to_the_remainder(buckets: int) -> None:
    ids = [0, 1, SMALL - 1, SMALL, 2**40, 2**63 - 1]
    expected = [1 + int(word) % buckets for word in hash_words(pa.array(ids), "ad_id")]
    assert hash_rows(pa.array(ids), "ad_id", buckets).tolist() == expected
    assert hash_rows(pa.array([1, 0, None]), "ad_id", buckets).tolist() == [expected[1], expected[0], 0]
    assert hash_rows(pa.array([-1]), "ad_id", buckets) == 1 + int(hash_words(pa.array([-1]), "ad_id")[0]) % buckets


def test_dense_ids_have_a_row_each_and_newer_ones_that_of_their_remainder() -> None:
    assert dense_rows(pa.array([0, 4, None, 2]), 5).tolist() == [1, 5, 0, 3]
    assert dense_rows(pa.array([4, 5, 2**62, -1, None]), 5).tolist() == [5, 1, 1 + 2**62 % 5, 5, 0]
    assert dense_rows(pa.array([None], pa.int64()), 5).tolist() == [0]


def test_text_hashes_alike_as_text_and_as_a_dictionary() -> None:
    text = pa.array(["b", None, "a", "b"])
    assert hash_rows(text, "f", 9).tolist() == hash_rows(text.dictionary_encode(), "f", 9).tolist()


def test_rows_are_uniform() -> None:
    counts = np.bincount(hash_rows(pa.array(np.arange(100_000)), "user_id", 100))[1:]
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_square < 150  # 99 degrees of freedom: p < 0.001 above


@pytest.mark.parametrize("groups", [pa.array(np.arange(20_000)), pa.array([f"u{n}" for n in range(20_000)])])
def test_a_group_share_splits_groups_in_two(groups: pa.Array) -> None:
    kept = GroupShare(salt="day", share=0.2, keep=True).mask(groups)
    assert abs(kept.mean() - 0.2) < 0.01
    assert (GroupShare(salt="day", share=0.2, keep=False).mask(groups) == ~kept).all()
    assert (GroupShare(salt="other", share=0.2, keep=True).mask(groups) != kept).any()
