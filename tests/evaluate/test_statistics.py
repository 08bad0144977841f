from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from mmoe.evaluate.metrics import roc_auc
from mmoe.evaluate.ranking import probabilities
from mmoe.evaluate.statistics import (
    auc_estimate,
    bootstrap,
    holm,
    in_blocks,
    interval,
    mean_of,
    minimum_detectable_effect,
    relative_lift,
    spread_of,
    student,
    worse_than,
)


def make_rows(rng, rows, noise=0.7):
    truth = rng.normal(-1, 1.2, rows)
    labels = (rng.random(rows) < probabilities(truth)).astype(np.float64)
    return labels, truth + rng.normal(0, noise, rows), truth + rng.normal(0, noise, rows)


def slow_delong(labels, first, second):
    """DeLong et al. 1988, eqs. 4 to 6, by comparing every positive with every negative."""
    positive, negative = labels == 1, labels == 0

    def placements(scores):
        wins = (scores[positive][:, None] > scores[negative][None, :]) + 0.5 * (
            scores[positive][:, None] == scores[negative][None, :]
        )
        return wins.mean(axis=1), wins.mean(axis=0)

    (v10_a, v01_a), (v10_b, v01_b) = placements(first), placements(second)
    s10, s01 = np.cov(v10_a, v10_b), np.cov(v01_a, v01_b)
    return s10 / positive.sum() + s01 / negative.sum()


def test_influences_reproduce_delongs_variances_and_covariance():
    labels, first, second = make_rows(np.random.default_rng(1), 600)
    first = np.round(first, 1)
    covariance = slow_delong(labels, first, second)
    a, b = auc_estimate(labels, first), auc_estimate(labels, second)
    assert a.value == pytest.approx(roc_auc(labels, first), abs=1e-12)
    assert np.square(a.influence).sum() == pytest.approx(covariance[0, 0], rel=1e-9)
    assert np.square(b.influence).sum() == pytest.approx(covariance[1, 1], rel=1e-9)
    assert (a.influence * b.influence).sum() == pytest.approx(covariance[0, 1], rel=1e-9)


def test_the_interval_of_a_lift_agrees_with_a_bootstrap():
    rng = np.random.default_rng(2)
    labels, first, second = make_rows(rng, 3000)
    estimate = relative_lift(auc_estimate(labels, first), auc_estimate(labels, second))
    lifts = []
    for _ in range(300):
        rows = rng.integers(0, 3000, 3000)
        lifts.append(roc_auc(labels[rows], second[rows]) / roc_auc(labels[rows], first[rows]) - 1)
    assert spread_of(estimate.influence).independent == pytest.approx(np.std(lifts), rel=0.15)


def test_repeating_every_row_for_its_user_changes_a_clustered_interval_little_and_halves_a_naive_one():
    labels, first, second = make_rows(np.random.default_rng(3), 2000)
    users = np.arange(2000)

    def both(times):
        estimate = relative_lift(*(auc_estimate(np.tile(labels, times), np.tile(s, times)) for s in (first, second)))
        return spread_of(estimate.influence, np.tile(users, times)).clustered, spread_of(estimate.influence).independent

    (clustered, naive), (clustered_repeated, naive_repeated) = both(1), both(4)
    assert clustered == pytest.approx(naive)
    assert clustered_repeated == pytest.approx(clustered, rel=0.01)
    assert naive_repeated == pytest.approx(naive / 2, rel=0.01)


def test_the_mean_over_heads_keeps_their_dependence():
    labels, first, second = make_rows(np.random.default_rng(5), 1000)
    lift = relative_lift(auc_estimate(labels, first), auc_estimate(labels, second))
    assert interval(mean_of([lift, lift]), 0.95) == interval(lift, 0.95)


def test_intervals_of_equal_models_cover_zero_as_often_as_they_claim():
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(300):
        labels, first, second = make_rows(rng, 1500)
        found = interval(relative_lift(auc_estimate(labels, first), auc_estimate(labels, second)), 0.9)
        covered += found.low <= 0 <= found.high
    assert 0.85 <= covered / 300 <= 0.95


def test_a_handful_of_groups_does_not_pass_for_certainty():
    labels, first, second = make_rows(np.random.default_rng(7), 2000)
    lift = relative_lift(auc_estimate(labels, first), auc_estimate(labels, second))
    assert spread_of(lift.influence, np.zeros(2000, dtype=np.int64)).clustered < 1e-9
    assert interval(lift, 0.95, np.zeros(2000, dtype=np.int64)) == interval(lift, 0.95)


def gaussian_rows(rng, rows, champion=1.0, challenger=1.1):
    """Scores whose true AUCs are known: Φ(distance between the classes' means / √2)."""
    labels = (rng.random(rows) < 0.2).astype(np.float64)
    shared = rng.normal(0, 0.8, rows)
    scores = [labels * distance + shared + rng.normal(0, 0.6, rows) for distance in (champion, challenger)]
    return labels, *scores


def test_a_known_lift_is_covered_as_claimed():
    true = NormalDist().cdf(1.1 / np.sqrt(2)) / NormalDist().cdf(1 / np.sqrt(2)) - 1
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(250):
        labels, first, second = gaussian_rows(rng, 4000)
        found = interval(relative_lift(auc_estimate(labels, first), auc_estimate(labels, second)), 0.95)
        covered += found.low <= true <= found.high
    assert 0.91 <= covered / 250 <= 0.985


def users_with_many_rows(rng, users=400):
    """A user's rows share a taste, and what each model gets wrong about it."""
    user = np.repeat(np.arange(users), rng.integers(20, 60, users))
    taste, wrong, otherwise = (rng.normal(0, size, users)[user] for size in (1, 0.7, 0.7))
    labels = (rng.random(len(user)) < probabilities(taste - 1)).astype(np.float64)
    return labels, taste + wrong, taste + otherwise + rng.normal(0, 0.1, len(user)), user


def test_both_bootstraps_over_users_agree_with_the_clustered_interval_and_not_with_delongs():
    rng = np.random.default_rng(9)
    labels, first, second, user = users_with_many_rows(rng)
    lift = relative_lift(auc_estimate(labels, first), auc_estimate(labels, second))
    spread = spread_of(lift.influence, user)
    ranked = []
    for _ in range(300):
        weights = np.bincount(rng.integers(0, 400, 400), minlength=400)[user].astype(np.float64)
        kept = weights > 0
        aucs = [roc_auc(labels[kept], scores[kept], weights[kept]) for scores in (first, second)]
        ranked.append(aucs[1] / aucs[0] - 1)
    low, high = bootstrap(lift.value, spread, 0.95)
    assert spread.clustered == pytest.approx(np.std(ranked), rel=0.12)
    assert spread.clustered > 1.4 * spread.independent
    assert (high - low) / 2 == pytest.approx(1.96 * spread.clustered, rel=0.1)
    found = interval(lift, 0.95, user)
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.25 * spread.clustered)


def test_blocks_of_many_clusters_keep_their_spread():
    sums = np.random.default_rng(3).normal(0, 1, 50_000)
    blocks = in_blocks(sums)
    assert len(blocks) == 2048 and blocks.sum() == pytest.approx(sums.sum())
    assert np.square(blocks).sum() == pytest.approx(np.square(sums).sum(), rel=0.1)


def test_few_or_unequal_clusters_widen_the_interval():
    even, uneven = np.tile([1.0, -1.0], 500), np.concatenate([[30.0, -30.0], np.tile([0.1, -0.1], 499)])
    assert spread_of(even).freedom == pytest.approx(1000)
    assert spread_of(uneven).freedom < 3
    assert student(0.95, 2.0) == pytest.approx(4.303, abs=1e-3)
    assert student(0.95, float("inf")) == pytest.approx(1.96, abs=1e-3)


def test_the_claim_of_a_lift_above_a_bound_has_the_p_value_of_a_t_test():
    rng = np.random.default_rng(4)
    sample = rng.normal(-0.2, 1, 30)
    error = sample.std(ddof=1) / np.sqrt(30)
    expected = ttest_1samp(sample, 0, alternative="less").pvalue
    assert worse_than(sample.mean(), 0, error, 29) == pytest.approx(expected, rel=1e-9)


def test_holm_steps_down_and_stops_at_the_first_that_holds():
    assert holm([0.004, 0.04, 0.011, 0.3], 0.05) == [True, False, True, False]
    assert holm([0.013, 0.013, 0.013, 0.013], 0.05) == [False] * 4
    assert holm([], 0.05) == []


def test_an_effect_is_detectable_with_the_power_that_is_promised():
    effect = minimum_detectable_effect(0.002, 0.95)
    drawn = np.random.default_rng(1).normal(effect, 0.002, 20_000)
    assert (drawn > 1.96 * 0.002).mean() == pytest.approx(0.8, abs=0.01)
