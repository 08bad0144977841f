"""mmoe.evaluate.shift: the stability index of two histograms."""

import numpy as np
import pytest

from mmoe.evaluate.shift import corrected, score_shift, stability_index


def test_the_stability_index_is_the_textbook_sum_and_0_of_equal_shapes():
    before, after = np.array([1000, 3000, 6000]), np.array([2000, 3000, 5000])
    p, q = before / before.sum(), after / after.sum()
    assert stability_index(before, after) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-2)
    assert stability_index(before, before * 2) == pytest.approx(0, abs=1e-6)
    assert 0 < stability_index([100, 0], [50, 50]) < 10


def test_the_stability_index_of_shifted_normals_is_known():
    rng = np.random.default_rng(1)
    before, after = np.sort(rng.normal(0, 1, 400_000)), np.sort(rng.normal(0.3, 1, 400_000))
    assert score_shift(before, after).whole == pytest.approx(0.09, abs=0.01)  # 2 × KL = shift²
    for same in (before, np.zeros(100)):
        assert score_shift(same, same).unexplained == score_shift(same, same, 0.5).unexplained == 0
    assert score_shift(np.zeros(100), np.ones(100)).whole > 5
    assert score_shift(np.zeros(0), np.zeros(0)).unexplained == 0


def test_a_correction_of_the_champion_to_the_observed_rate_is_no_shift():
    rng = np.random.default_rng(2)
    promised = rng.beta(2, 30, 100_000)
    champion, challenger = (np.sort(np.log(p / (1 - p))) for p in (promised, promised * 0.6))
    found = score_shift(champion, challenger, 0.6)
    assert found.whole > 0.5 and found.corrected == pytest.approx(0, abs=1e-6)
    assert found.unexplained == found.corrected
    assert score_shift(champion, 2 * challenger, 0.6).unexplained > 0.25


def test_probabilities_that_a_correction_takes_to_1_are_the_last_bin():
    champion = np.linspace(-1, 3, 1000)
    assert score_shift(champion, champion, 2.0).unexplained == 0
    assert np.isposinf(corrected(np.array([0.0, 1.0]), 2.0)).all()
