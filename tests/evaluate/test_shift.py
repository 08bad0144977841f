"""mmoe.evaluate.shift: the stability index of two histograms."""

import numpy as np
import pytest

from mmoe.evaluate.shift import stability_index


def test_the_stability_index_is_the_textbook_sum_and_0_of_equal_shapes():
    before, after = np.array([1000, 3000, 6000]), np.array([2000, 3000, 5000])
    p, q = before / before.sum(), after / after.sum()
    assert stability_index(before, after) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-2)
    assert stability_index(before, before * 2) == pytest.approx(0, abs=1e-6)
    assert 0 < stability_index([100, 0], [50, 50]) < 10
