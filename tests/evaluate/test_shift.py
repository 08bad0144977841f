"""mmoe.evaluate.shift: the stability index of two histograms."""

import numpy as np
import pytest

from mmoe.evaluate.shift import score_shift, stability_index


def test_the_stability_index_is_the_textbook_sum_and_0_of_equal_shapes():
    before, after = np.array([1000, 3000, 6000]), np.array([2000, 3000, 5000])
    p, q = before / before.sum(), after / after.sum()
    assert stability_index(before, after) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-2)
    assert stability_index(before, before * 2) == pytest.approx(0, abs=1e-6)
    assert 0 < stability_index([100, 0], [50, 50]) < 10


def test_the_stability_index_of_shifted_normals_is_known():
    rng = np.random.default_rng(1)
    before, after = np.sort(rng.normal(0, 1, 400_000)), np.sort(rng.normal(0.3, 1, 400_000))
    assert score_shift(before, after) == pytest.approx(0.09, abs=0.01)  # 2 × KL = shift²
    assert score_shift(before, before) == 0
    assert score_shift(np.zeros(100), np.zeros(100)) == 0
    assert score_shift(np.zeros(100), np.ones(100)) > 5
