"""The promises of docs/adr/0010 in few trials: a change that breaks one shows here."""

import numpy as np
import pytest
from scipy.stats import binomtest

from mmoe.evaluate.characteristics import SCENARIOS, draw, judge, measure, wilson


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_lift_profiles_promises_are_near_in_a_few_trials(number):
    scenario = SCENARIOS[number]
    found = measure(scenario, 20, seed=10_000)
    assert scenario.least - 0.15 <= found[scenario.wanted] <= scenario.most + 0.1


@pytest.mark.parametrize("found", [0, 3, 967, 1000])
def test_wilsons_interval_is_that_of_scipy(found):
    expected = binomtest(found, 1000).proportion_ci(method="wilson")
    assert wilson(found, 1000) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_drawn_models_have_the_true_lifts_that_are_claimed():
    results = [judge(*draw(np.random.default_rng(seed), 20_000, SCENARIOS[3]), SCENARIOS[3]) for seed in range(8)]
    for place, true in (("home_feed", 0.001), ("search", -0.003)):
        found = [result.lift("click", place).lift for result in results]
        assert np.mean(found) == pytest.approx(true, abs=0.0006)


def test_a_declared_slice_is_spoilt_alone():
    scenario = next(each for each in SCENARIOS if each.spoilt == ("hour", "07"))
    results = [judge(*draw(np.random.default_rng(seed), 60_000, scenario), scenario) for seed in range(4)]
    for place, true in (("07", -0.003), ("08", 0.001), ("home_feed", 0.001)):
        found = [lift.lift for result in results for lift in result.lifts if lift.slice == place]
        assert np.mean(found) == pytest.approx(true, abs=0.0009)
