# ruff: noqa: N803, N806, N815  (shapes in names)
"""One day of the log as a raw Arrow table, with the probabilities that its labels were drawn from."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmoe.simulate.config import VIEW_TYPES, SimulatorConfig
from mmoe.simulate.engagement import engage
from mmoe.simulate.impressions import Impressions, draw
from mmoe.simulate.world import COUNTRIES, DAY_STREAM, DEVICES, TOPICS, Ads, Bits, Floats, Users, ads, catalog, users

COUNTRY_UNKNOWN, AGE_UNKNOWN = 0.02, 0.08
HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class SimulatedDay:
    """A day before delivery. Rows of `table`, `truth`, `labels` and `view_N` correspond."""

    day: date
    table: pa.Table
    """Raw columns as schemas/ads.yaml describes them; `save` is null where the log ends before it is final."""
    truth: dict[str, Floats]
    """P(label = 1) of each head given all that the simulator knows."""
    labels: dict[str, NDArray[np.int8]]
    """What was drawn, final or not."""
    view_N: NDArray[np.int64]
    """Index into VIEW_TYPES."""


def simulate_day(config: SimulatorConfig, day: date) -> SimulatedDay:
    """Any day on its own, the same whichever days were made before. Raises ConfigError outside the log."""
    number = config.index(day)
    rng = config.rng(DAY_STREAM, number)
    audience, running = users(config), ads(config, number)
    impressions = draw(config, audience, running, rng)
    engagement = engage(impressions, audience, running, catalog(config), number, rng)
    columns: dict[str, Any] = {
        "event_id": _event_ids(config, number),
        "event_time": _times(day, impressions),
        "view_type": _names(VIEW_TYPES, impressions.view_N),
        **_user_columns(audience, impressions, rng),
        **_ad_columns(running, impressions),
        **_context_columns(impressions, rng),
        **{head: pa.array(label) for head, label in engagement.labels.items()},
    }
    if not config.is_mature(day):
        columns["save"] = pa.nulls(config.rows_per_day, pa.int8())
    return SimulatedDay(
        day=day,
        table=pa.table(columns),
        truth=engagement.truth,
        labels=engagement.labels,
        view_N=impressions.view_N,
    )


def _event_ids(config: SimulatorConfig, number: int) -> pa.Array:
    """16 hex digits, distinct over the whole log: splitmix64 is a bijection, so distinct counters stay distinct."""
    counter = np.arange(config.rows_per_day, dtype=np.uint64) + np.uint64(number << 40)
    mixed = counter + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    octets = (mixed ^ (mixed >> np.uint64(31))).view(np.uint8)
    digits = np.stack([HEX[octets >> 4], HEX[octets & 15]], axis=1).tobytes()
    offsets = np.arange(config.rows_per_day + 1, dtype=np.int32) * 16
    return pa.StringArray.from_buffers(config.rows_per_day, pa.py_buffer(offsets), pa.py_buffer(digits))


def _times(day: date, impressions: Impressions) -> pa.Array:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return pa.array(impressions.micros_N + int(midnight.timestamp()) * 1_000_000).cast(pa.timestamp("us", tz="UTC"))


def _user_columns(audience: Users, impressions: Impressions, rng: np.random.Generator) -> dict[str, Any]:
    user = impressions.user_N
    unknown_age = rng.random(len(user)) < AGE_UNKNOWN
    unknown_country = rng.random(len(user)) < COUNTRY_UNKNOWN
    interests = _topic_lists(audience.interests_U)
    return {
        "user_id": pa.array(audience.id_U[user]),
        "user_country": _names(COUNTRIES, audience.country_U[user], missing=unknown_country),
        "user_age_bucket": pa.array(audience.age_U[user], mask=unknown_age),
        "user_activity": pa.array(audience.activity_U[user]),
        "user_interests": interests.take(pa.array(user)),
    }


def _ad_columns(running: Ads, impressions: Impressions) -> dict[str, Any]:
    ad = impressions.ad_N
    topics = _topic_lists(running.topics_A)
    return {
        "ad_id": pa.array(running.id_A[ad]),
        "advertiser_id": pa.array(running.advertiser_A[ad] + 1),
        "ad_category": pa.array(running.category_A[ad] + 1),
        "ad_age_days": pa.array(running.age_A[ad]),
        "ad_topics": topics.take(pa.array(ad)),
        "creative_quality": pa.array(running.quality_A[ad]),
    }


def _context_columns(impressions: Impressions, rng: np.random.Generator) -> dict[str, Any]:
    relevance = impressions.relevance_N
    return {
        "device": _names(DEVICES, impressions.device_N),
        "hour_of_day": pa.array(impressions.hour_N),
        "position": pa.array(impressions.position_N),
        "relevance": pa.array(relevance, mask=np.isnan(relevance)),
    }


def _topic_lists(bits_N: Bits) -> pa.Array:
    """Each row's topics, ascending, as numbers from 1."""
    has_NT = (bits_N[:, None] >> np.arange(TOPICS, dtype=np.uint64)) & np.uint64(1) == 1
    ends = np.concatenate([[0], has_NT.sum(axis=1).cumsum()]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(np.nonzero(has_NT)[1] + 1))


def _names(names: tuple[str, ...], index: NDArray[np.int64], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(index, mask=missing))
