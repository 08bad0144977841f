# ruff: noqa: N803, N806, N815  (shapes in names)
"""Who lives in the simulated world, and how they move: users whose tastes turn, ads that come and go, fashions.

Shapes: U users, A ads of one day, V view types, H heads, C categories, K = 8 taste dimensions, T = 60 topics.
Topics are bits of a uint64. Every quantity of a day is a closed form of the day's number, so days need no history.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmoe.simulate.config import HEADS, VIEW_TYPES, SimulatorConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bits = NDArray[np.uint64]

TASTES, TOPICS, CATEGORIES, HOURS = 8, 60, 20, 24
COUNTRIES = ("US", "BR", "DE", "FR", "GB", "JP", "MX", "CA", "ES", "IN", "IT", "NL")
DEVICES = ("ios", "android", "web", "tablet")
AGE_BUCKETS = 7
COMMON_TASTE_K = 0.5 * np.array([1, -1, 1, 1, -1, 1, 1, -1])
LONGEST_LIFE = 60
USERS_STREAM, CATALOG_STREAM, ADS_STREAM, DAY_STREAM, FAULT_STREAM = range(5)


@dataclass(frozen=True, kw_only=True)
class Turning:
    """Tastes that turn, each at its own speed: a Gaussian process over days in closed form. Shapes: N of them, K."""

    cosine_NK: Floats
    sine_NK: Floats
    speed_N: Floats
    """Radians a day. Normal speeds make days d apart correlate by exp(-(d · deviation)² / 2)."""

    def at(self, number: int) -> Floats:
        angle_N1 = (self.speed_N * number)[:, None]
        return np.asarray(self.cosine_NK * np.cos(angle_N1) + self.sine_NK * np.sin(angle_N1))


@dataclass(frozen=True, kw_only=True)
class Users:
    id_U: Ints
    weight_U: Floats
    """Share of impressions."""
    activity_U: Floats
    country_U: Ints
    age_U: Ints
    device_U: Ints
    """The device a user mostly has."""
    view_UV: Floats
    """Cumulative probabilities of the view types."""
    interests_U: Bits
    bias_UH: Floats
    lasting_UK: Floats
    """Taste that interests explain, and that stays."""
    own: Turning
    """Taste that nothing but the user's id explains (U, K)."""
    generation: Turning
    """Taste that an age bucket shares (AGE_BUCKETS, K)."""

    def taste(self, number: int) -> Floats:
        """Tastes (U, K) on a day, each about standard normal."""
        shared_UK = self.generation.at(number)[self.age_U]
        return np.asarray(COMMON_TASTE_K + 0.5 * self.lasting_UK + 0.6 * shared_UK + 0.5 * self.own.at(number))


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """What all ads share: categories, advertisers, topics."""

    topic_TK: Floats
    category_CK: Floats
    category_topics_CT: Floats
    """Probability that an ad of a category has a topic."""
    category_VCH: Floats
    """How well each category does on each view type and head."""
    category_country: Floats
    category_hour: Floats
    fashion_period_CV: Floats
    fashion_phase_CV: Floats
    advertiser_weight: Floats
    advertiser_category: Ints
    advertiser_K: Floats
    advertiser_bias_H: Floats

    def fashion(self, number: int) -> Floats:
        """How much each category is in fashion on each view type that day (C, V)."""
        return np.asarray(np.sin(2 * np.pi * number / self.fashion_period_CV + self.fashion_phase_CV))


@dataclass(frozen=True, kw_only=True)
class Ads:
    """The ads that run on one day."""

    id_A: Ints
    age_A: Ints
    weight_A: Floats
    advertiser_A: Ints
    category_A: Ints
    topics_A: Bits
    quality_A: Floats
    taste_AK: Floats
    bias_AH: Floats


@lru_cache(maxsize=4)
def users(config: SimulatorConfig) -> Users:
    rng = config.rng(USERS_STREAM)
    count = config.users
    weight = rng.lognormal(0.0, 1.2, count)
    weight /= weight.sum()
    interests_UT = rng.random((count, TOPICS)) < 0.06
    share_UV = np.exp(np.log([0.45, 0.25, 0.30]) + rng.normal(0.0, 0.5, (count, len(VIEW_TYPES))))
    return Users(
        id_U=1_000_000 + rng.permutation(count) * 37,
        weight_U=weight,
        activity_U=weight * config.rows_per_day * rng.lognormal(0.0, 0.3, count),
        country_U=rng.choice(len(COUNTRIES), count, p=_zipf(len(COUNTRIES))),
        age_U=rng.integers(0, AGE_BUCKETS, count),
        device_U=rng.choice(len(DEVICES), count, p=[0.4, 0.35, 0.18, 0.07]),
        view_UV=np.cumsum(share_UV / share_UV.sum(axis=1, keepdims=True), axis=1),
        interests_U=_bits(interests_UT),
        bias_UH=rng.normal(0.0, [0.55, 0.45, 0.5, 0.6], (count, len(HEADS))),
        lasting_UK=_unit_scale(interests_UT @ catalog(config).topic_TK),
        own=_turning(rng, count, config.taste_days),
        generation=_turning(rng, AGE_BUCKETS, config.taste_days),
    )


@lru_cache(maxsize=4)
def catalog(config: SimulatorConfig) -> Catalog:
    rng = config.rng(CATALOG_STREAM)
    views, heads = len(VIEW_TYPES), len(HEADS)
    relevant_CT = rng.random((CATEGORIES, TOPICS)) < 0.1
    topic_TK = rng.normal(size=(TOPICS, TASTES))
    return Catalog(
        topic_TK=topic_TK,
        category_CK=rng.normal(size=(CATEGORIES, TASTES)),
        category_topics_CT=np.where(relevant_CT, 0.35, 0.01),
        category_VCH=rng.normal(size=(views, CATEGORIES, heads)),
        category_country=rng.normal(size=(CATEGORIES, len(COUNTRIES))),
        category_hour=np.cos((np.arange(HOURS) - rng.uniform(0, HOURS, (CATEGORIES, 1))) * 2 * np.pi / HOURS),
        fashion_period_CV=rng.uniform(25.0, 60.0, (CATEGORIES, views)),
        fashion_phase_CV=rng.uniform(0.0, 2 * np.pi, (CATEGORIES, views)),
        advertiser_weight=_zipf(config.advertisers, 0.7),
        advertiser_category=rng.integers(0, CATEGORIES, config.advertisers),
        advertiser_K=rng.normal(size=(config.advertisers, TASTES)),
        advertiser_bias_H=rng.normal(size=(config.advertisers, heads)),
    )


@lru_cache(maxsize=4)
def ads(config: SimulatorConfig, number: int) -> Ads:
    """The ads that run on day `number` of the log: those of every earlier day's launch that have not ended."""
    launches = [_launch(config, born, number) for born in range(number - LONGEST_LIFE + 1, number + 1)]
    joined = {name: np.concatenate([launch[name] for launch in launches]) for name in launches[0]}
    joined["weight_A"] = joined["weight_A"] / joined["weight_A"].sum()
    return Ads(**joined)


def _launch(config: SimulatorConfig, born: int, number: int) -> dict[str, NDArray[np.generic]]:
    """The ads launched on day `born` that still run on day `number`."""
    key = born + LONGEST_LIFE
    rng = config.rng(ADS_STREAM, key)
    shared = catalog(config)
    count = max(1, round(config.ads / config.ad_life_days))
    life = 1 + np.minimum(rng.exponential(config.ad_life_days - 0.5, count).astype(np.int64), LONGEST_LIFE - 1)
    advertiser = rng.choice(config.advertisers, count, p=shared.advertiser_weight)
    own = rng.random(count) < 0.8
    category = np.where(own, shared.advertiser_category[advertiser], rng.integers(0, CATEGORIES, count))
    topics_AT = rng.random((count, TOPICS)) < shared.category_topics_CT[category]
    own_taste_AK = rng.normal(size=(count, TASTES))
    own_bias_AH = rng.normal(size=(count, len(HEADS)))
    columns: dict[str, NDArray[np.generic]] = {
        "id_A": np.int64(100_000) * (100 + key) + np.arange(count),
        "age_A": np.full(count, number - born),
        "weight_A": rng.lognormal(0.0, 1.2, count),
        "advertiser_A": advertiser,
        "category_A": category,
        "topics_A": _bits(topics_AT),
        "quality_A": rng.normal(size=count),
        "taste_AK": 0.87 * shared.category_CK[category] + 0.4 * shared.advertiser_K[advertiser] + 0.3 * own_taste_AK,
        "bias_AH": 0.4 * shared.advertiser_bias_H[advertiser] + 0.3 * own_bias_AH,
    }
    running = life > number - born
    return {name: column[running] for name, column in columns.items()}


def _turning(rng: np.random.Generator, count: int, days: float) -> Turning:
    return Turning(
        cosine_NK=rng.normal(size=(count, TASTES)),
        sine_NK=rng.normal(size=(count, TASTES)),
        speed_N=rng.normal(0.0, 1 / days, count),
    )


def _bits(chosen_NT: NDArray[np.bool_]) -> Bits:
    return np.asarray(chosen_NT.astype(np.uint64) @ (np.uint64(1) << np.arange(TOPICS, dtype=np.uint64)))


def _zipf(count: int, exponent: float = 1.0) -> Floats:
    weight = 1.0 / np.arange(1, count + 1) ** exponent
    return np.asarray(weight / weight.sum())


def _unit_scale(values_NK: Floats) -> Floats:
    return np.asarray(values_NK / values_NK.std())
