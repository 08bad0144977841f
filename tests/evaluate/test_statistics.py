from statistics import NormalDist

import numpy as np
import pytest

from mmoe.evaluate.metrics import probabilities, roc_auc
from mmoe.evaluate.statistics import (
    Interval,
    auc_estimate,
    interval,
    mean_of,
    minimum_detectable_effect,
    relative_lift,
    rows_needed,
    rows_to_settle,
    standard_error,
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
    assert standard_error(estimate.influence) == pytest.approx(np.std(lifts), rel=0.15)


def test_repeating_every_row_for_its_user_changes_a_clustered_interval_little_and_halves_a_naive_one():
    labels, first, second = make_rows(np.random.default_rng(3), 2000)
    users = np.arange(2000)

    def both(times):
        estimate = relative_lift(*(auc_estimate(np.tile(labels, times), np.tile(s, times)) for s in (first, second)))
        return standard_error(estimate.influence, np.tile(users, times)), standard_error(estimate.influence)

    (clustered, naive), (clustered_repeated, naive_repeated) = both(1), both(4)
    assert clustered == pytest.approx(naive)
    assert clustered_repeated == pytest.approx(clustered, rel=0.01)
    assert naive_repeated == pytest.approx(naive / 2, rel=0.01)


def test_rows_without_a_user_stand_alone():
    influence = np.array([0.3, -0.1, 0.2])
    assert standard_error(influence, np.array([0, 0, -1])) == pytest.approx(np.hypot(0.2, 0.2))


def test_the_mean_over_heads_keeps_their_dependence():
    labels, first, second = make_rows(np.random.default_rng(5), 1000)
    lift = relative_lift(auc_estimate(labels, first), auc_estimate(labels, second))
    assert interval(mean_of([lift, lift]), 0.95) == interval(lift, 0.95)


def test_at_the_rows_it_asks_for_the_effect_is_detectable():
    needed = rows_needed(10_000, standard_error=0.002, effect=0.001, confidence=0.95)
    at_that_size = 0.002 * np.sqrt(10_000 / needed)
    assert minimum_detectable_effect(at_that_size, 0.95) == pytest.approx(0.001, rel=1e-3)


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
    assert standard_error(lift.influence, np.zeros(2000, dtype=np.int64)) < 1e-9
    assert interval(lift, 0.95, np.zeros(2000, dtype=np.int64)) == interval(lift, 0.95)


def found_at(value, error):
    return Interval(value=value, low=value - 1.96 * error, high=value + 1.96 * error, standard_error=error)


@pytest.mark.parametrize("value", [-0.0009, 0.0, 0.0011, 0.004, -0.003])
def test_the_rows_asked_for_are_always_more_than_are_at_hand(value):
    error = 0.002
    assert rows_to_settle(10_000, found_at(value, error), -0.001, 0.001, 0.95) > 10_000


def test_a_large_lift_asks_for_fewer_rows_than_a_small_one_and_one_on_the_bound_for_no_number():
    small, large = (rows_to_settle(1000, found_at(value, 0.02), 0, 0.001, 0.95) for value in (0.001, 0.03))
    assert large < small / 100
    assert rows_to_settle(10_000_000, found_at(-0.001, 0.0001), -0.001, 0.001, 0.95) is None


def gaussian_rows(rng, rows, champion=1.0, challenger=1.1):
    """Scores whose true AUCs are known: Φ(distance between the classes' means / √2)."""
    labels = (rng.random(rows) < 0.2).astype(np.float64)
    shared = rng.normal(0, 0.8, rows)
    scores = [labels * distance + shared + rng.normal(0, 0.6, rows) for distance in (champion, challenger)]
    return labels, *scores


def test_a_known_lift_is_covered_as_claimed_and_found_with_the_power_that_its_rows_promise():
    true = NormalDist().cdf(1.1 / np.sqrt(2)) / NormalDist().cdf(1 / np.sqrt(2)) - 1
    rng = np.random.default_rng(8)
    labels, first, second = gaussian_rows(rng, 4000)
    pilot = interval(relative_lift(auc_estimate(labels, first), auc_estimate(labels, second)), 0.95)
    rows = rows_needed(4000, pilot.standard_error, true, 0.95)
    covered = significant = 0
    for _ in range(250):
        labels, first, second = gaussian_rows(rng, rows)
        found = interval(relative_lift(auc_estimate(labels, first), auc_estimate(labels, second)), 0.95)
        covered += found.low <= true <= found.high
        significant += found.low > 0
    assert 0.91 <= covered / 250 <= 0.985
    assert 0.72 <= significant / 250 <= 0.88
