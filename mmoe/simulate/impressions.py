# ruff: noqa: N815  (shapes in names)
"""Which ad was shown to whom on a day, when, where and at which position. Shapes: N impressions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmoe.simulate.config import SimulatorConfig
from mmoe.simulate.world import DEVICES, Ads, Floats, Ints, Users

DAY_US = 86_400_000_000
HOURLY = np.array([5, 3, 2, 2, 2, 3, 5, 7, 8, 8, 8, 9, 10, 10, 9, 9, 10, 11, 13, 15, 16, 15, 12, 8], dtype=np.float64)
PAGE_DEPTH = np.array([5.0, 3.0, 8.0])
"""Mean position by view type."""
LAST_POSITION = 39
KEEPS_DEVICE = 0.85
RELATED_PINS, SEARCH, HOME_FEED = range(3)


@dataclass(frozen=True, kw_only=True)
class Impressions:
    """In order of time. `user_N` and `ad_N` are rows of the day's Users and Ads, not ids."""

    user_N: Ints
    ad_N: Ints
    view_N: Ints
    micros_N: Ints
    """Microseconds since the day's start."""
    hour_N: Ints
    position_N: Ints
    device_N: Ints
    relevance_N: Floats
    """Match of the ad with the query or the pin that it stands beside, in [0, 1]; NaN on the home feed."""


def draw(config: SimulatorConfig, users: Users, ads: Ads, rng: np.random.Generator) -> Impressions:
    rows = config.rows_per_day
    user = _choose(rng, users.weight_U, rows)
    ad = _choose(rng, ads.weight_A, rows)
    view = (rng.random(rows)[:, None] > users.view_UV[user, :-1]).sum(axis=1)
    micros = np.sort(_choose(rng, HOURLY, rows) * (DAY_US // 24) + rng.integers(0, DAY_US // 24, rows))
    # Better creatives win better places, so position confounds quality as it does in real logs.
    depth = PAGE_DEPTH[view] * np.exp(-0.2 * ads.quality_A[ad])
    other_device = rng.integers(0, len(DEVICES), rows)
    relevance = rng.beta(2.0, 2.0, rows)
    return Impressions(
        user_N=user,
        ad_N=ad,
        view_N=view,
        micros_N=micros,
        hour_N=micros // (DAY_US // 24),
        position_N=np.minimum(rng.exponential(depth), LAST_POSITION).astype(np.int64),
        device_N=np.where(rng.random(rows) < KEEPS_DEVICE, users.device_U[user], other_device),
        relevance_N=np.where(view == HOME_FEED, np.nan, relevance),
    )


def _choose(rng: np.random.Generator, weight: NDArray[np.float64], rows: int) -> Ints:
    """`rows` indices, each with probability in proportion to its weight."""
    cumulative = np.cumsum(weight)
    found = np.searchsorted(cumulative, rng.random(rows) * cumulative[-1], side="right")
    return np.asarray(np.minimum(found, len(weight) - 1))
