import numpy as np
import pytest

from mmoe.lake.manifest import LabelCount
from mmoe.quality.bounds import label_rate


def trailing(rate, rows=100_000):
    return [LabelCount(positives=int(rate * rows), negatives=rows - int(rate * rows), nulls=5)]


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.3, 0.5, 0.98])
@pytest.mark.parametrize("rows", [3, 40, 900, 20_000])
def test_samples_of_an_unchanged_rate_are_never_unusual(rate, rows):
    bounds = label_rate("click", trailing(rate), rows)
    shares = np.random.default_rng(0).binomial(rows, rate, 2_000) / rows
    assert bounds["click_low"] <= shares.min()
    assert shares.max() <= bounds["click_high"]
    assert bounds["click_floor"] <= bounds["click_low"] <= bounds["click_high"] <= bounds["click_ceiling"]


def test_a_rate_that_has_doubled_is_unusual_and_one_that_is_gone_is_extreme():
    bounds = label_rate("click", trailing(0.1), 20_000)
    assert bounds["click_high"] < 0.2
    assert bounds["click_ceiling"] > 0.2
    assert bounds["click_floor"] > 0
    assert bounds["click_ceiling"] < 0.7


def test_without_both_classes_before_nothing_is_unusual():
    none = label_rate("click", [LabelCount(positives=0, negatives=50, nulls=0)], 100)
    assert set(none.values()) == {0.0, 1.0}
    assert label_rate("click", [], 100) == none
