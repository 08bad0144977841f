from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from handmade import DAY, SCHEMA, raw_rows

from mmoe.evaluate.shift import stability_index
from mmoe.lake.conform import conform
from mmoe.lake.manifest import to_json
from mmoe.lake.profile import DayProfile, Histogram
from mmoe.quality.drift import compare, hash_groups, quantile_groups
from mmoe.quality.profiling import HASH_BINS, Profiler, hash_bins, scale_bins


def rows(**kwargs):
    return conform(raw_rows(**kwargs), SCHEMA).table


def profile(*tables, day=DAY):
    profiler = Profiler(SCHEMA)
    for table in tables:
        profiler.add(table)
    return DayProfile(
        day=day, subject="s", schema_fingerprint=SCHEMA.fingerprint, view_types=profiler.finish()
    )  # fmt: skip


def test_psi_of_equal_populations_is_its_sampling_noise():
    rng = np.random.default_rng(0)
    shares, n, m = rng.dirichlet(np.full(20, 5.0)), 2_000, 20_000
    found = [stability_index(rng.multinomial(n, shares), rng.multinomial(m, shares)) for _ in range(400)]
    assert np.mean(found) == pytest.approx(19 * (1 / n + 1 / m), rel=0.1)


def test_a_profile_is_the_same_whatever_the_blocks():
    table = rows(rows=900)
    assert profile(table) == profile(table.slice(0, 100), table.slice(100, 650), table.slice(750))


def test_all_rows_are_the_sum_of_the_view_types():
    table = rows(rows=500)
    found = profile(table)
    everything = found.of(None)
    assert everything.rows == 500
    assert everything.labels["click"].positives == table["click"].to_pylist().count(1)
    assert everything.features["price"].missing == table["price"].null_count
    topics = sum(len(each) for each in table["topics"].to_pylist() if each is not None)
    assert everything.features["topics"].total == topics + table["topics"].null_count
    assert found.of("absent") is None


def test_numeric_bins_keep_the_order_of_the_numbers():
    rng = np.random.default_rng(1)
    values = np.sort(np.concatenate([rng.normal(size=500), rng.lognormal(10, 5, 500), [0, -0.0, 1e-40, -3e38]]))
    bins = scale_bins(values.astype(np.float32))
    assert (np.diff(bins) >= 0).all()
    assert len(np.unique(scale_bins(np.arange(1, 17, dtype=np.float32)))) == 16
    assert scale_bins(np.float32([0.0]))[0] == scale_bins(np.float32([-0.0]))[0]


def test_no_value_can_be_read_in_a_profile():
    table = rows(rows=50).slice(0, 40)
    text = to_json(profile(table)).decode()
    values = [str(value) for name in ("user_id", "event_id", "device") for value in table[name].to_pylist()]
    assert not [value for value in values if f'"{value}"' in text or f" {value}" in text]


def test_an_unseen_value_is_in_the_tail_and_a_frequent_one_stands_alone():
    values = pa.array(["a"] * 600 + ["b"] * 390 + ["c"] * 10)
    bins, counts = np.unique(hash_bins(values, "device"), return_counts=True)
    group = hash_groups(Histogram(bins=tuple(bins.tolist()), counts=tuple(counts.tolist()), missing=0))
    assert len(set(group(bins).tolist())) == 3
    tail = group(np.setdiff1d(np.arange(HASH_BINS), bins))
    assert set(tail.tolist()) == {0}
    assert 0 not in group(bins).tolist()


def test_quantile_groups_hold_about_equal_shares():
    bins, counts = np.unique(scale_bins(np.random.default_rng(2).lognormal(size=20_000)), return_counts=True)
    group = quantile_groups(Histogram(bins=tuple(bins.tolist()), counts=tuple(counts.tolist()), missing=0))
    shares = np.bincount(group(bins), weights=counts) / counts.sum()
    assert len(shares) == 10
    assert shares.max() < 0.16


def test_the_share_of_missing_values_is_a_bin_of_its_own():
    before = [profile(rows(rows=1_000, seed=seed), day=date(2026, 3, seed)) for seed in (1, 2, 3)]
    table = rows(rows=1_000)
    known = table.set_column(table.column_names.index("device"), "device", pa.array([None] * 300 + ["phone"] * 700))
    found = compare(SCHEMA, profile(known), before, None)["device"]
    assert (found.observed[-1], found.reference[-1]) == (300, 0)
    assert stability_index(found.observed, found.reference) > 0.5


def test_too_few_rows_are_not_compared():
    before = [profile(rows(rows=1_000, seed=seed)) for seed in (1, 2, 3)]
    assert compare(SCHEMA, profile(rows(rows=400)), before, None) == {}
    assert compare(SCHEMA, profile(rows(rows=900)), before, "search") == {}
    assert compare(SCHEMA, profile(rows(rows=900)), [], None) == {}
