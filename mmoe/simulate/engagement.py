# ruff: noqa: N803, N806  (shapes in names)
"""The truth: how likely each impression is to be clicked, clicked for long, saved and hidden. Labels drawn from it.

Shapes: N impressions, V view types, H heads, K tastes. Heads are in the order of config.HEADS.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmoe.simulate.config import HEADS, VIEW_TYPES
from mmoe.simulate.impressions import RELATED_PINS, SEARCH, Impressions
from mmoe.simulate.world import AGE_BUCKETS, Ads, Catalog, Floats, Users

CLICK, LONG_CLICK, SAVE, HIDE = range(4)

# A view type and a head each weigh the tastes in their own way, some with another sign: what one surface teaches is
# partly wrong on the next, which is what experts can divide among themselves.
VIEW_TASTE_VK = np.array([
    [1.0, 1.0, 1.0, 0.4, 0.0, 0.0, 0.6, 0.6],
    [0.0, 0.0, 0.4, 1.0, 1.0, 1.0, 0.6, -0.6],
    [0.7, -0.7, 0.7, 0.7, -0.7, 0.7, 0.7, 0.7],
])  # fmt: skip
HEAD_TASTE_HK = np.array([
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    [1.2, 0.2, 0.2, 1.2, 0.2, 1.2, 1.2, -0.8],
    [0.2, 1.3, 1.3, 0.2, 1.0, 0.2, 0.2, 1.0],
    [-1.0, -1.0, 0.3, 0.3, -1.0, 0.6, -1.0, 0.3],
])  # fmt: skip
BASE_VH = np.array([
    [-1.60, -1.15, -3.75, -5.55],
    [-1.10, -1.05, -4.10, -5.60],
    [-1.60, -1.25, -4.05, -5.60],
])  # fmt: skip
TASTE_H = np.array([0.9, 0.8, 0.8, 0.8])
CATEGORY_H = np.array([0.3, 0.3, 0.3, 0.3])
TOPIC_VH = np.array([[0.55, 0.2, 0.7, -0.4], [0.2, 0.1, 0.3, -0.2], [0.4, 0.4, 0.5, -0.5]])
POSITION_VH = np.array([[-0.35, 0.0, -0.25, 0.1], [-0.75, -0.1, -0.3, 0.0], [-0.25, 0.05, -0.15, 0.3]])
RELEVANCE_VH = np.array([[0.8, 0.4, 1.2, -0.6], [2.6, 1.2, 0.6, -1.6], [0.0, 0.0, 0.0, 0.0]])
QUALITY_H = np.array([0.22, 0.4, 0.25, -0.35])
WEAR_H = np.array([-0.18, 0.0, -0.1, 0.4])
FASHION_H = np.array([0.45, 0.2, 0.3, -0.2])
COUNTRY_H = np.array([0.22, 0.1, 0.25, 0.3])
HOUR_VH = np.array([[0.1, 0.2, 0.1, 0.0], [0.15, 0.1, 0.0, 0.0], [0.25, 0.4, 0.2, 0.1]])
DEVICE_LONG_CLICK = np.array([-0.15, -0.35, 0.5, 0.2])
AGE_HIDE = np.linspace(-0.4, 0.4, AGE_BUCKETS)
SAVE_AFTER_CLICK = 1.2


@dataclass(frozen=True, kw_only=True)
class Engagement:
    """`truth` holds P(label = 1) given all that the simulator knows; `labels` one draw from it (int8)."""

    truth: dict[str, Floats]
    labels: dict[str, NDArray[np.int8]]


def engage(
    impressions: Impressions, users: Users, ads: Ads, catalog: Catalog, number: int, rng: np.random.Generator
) -> Engagement:
    """A long click needs a click, a clicked ad is saved more often and never hidden: heads correlate."""
    logit_NH = logits(impressions, users, ads, catalog, number)
    click, long_if_click, hide_if_not = (_sigmoid(logit_NH[:, head]) for head in (CLICK, LONG_CLICK, HIDE))
    save_if_click, save_if_not = _sigmoid(logit_NH[:, SAVE] + SAVE_AFTER_CLICK), _sigmoid(logit_NH[:, SAVE])
    drawn_NH = rng.random((len(click), len(HEADS)))
    clicked = drawn_NH[:, CLICK] < click
    truth_NH = (
        click,
        click * long_if_click,
        click * save_if_click + (1 - click) * save_if_not,
        (1 - click) * hide_if_not,
    )
    labels_NH = (
        clicked,
        clicked & (drawn_NH[:, LONG_CLICK] < long_if_click),
        drawn_NH[:, SAVE] < np.where(clicked, save_if_click, save_if_not),
        ~clicked & (drawn_NH[:, HIDE] < hide_if_not),
    )
    return Engagement(
        truth=dict(zip(HEADS, truth_NH, strict=True)),
        labels={head: label.astype(np.int8) for head, label in zip(HEADS, labels_NH, strict=True)},
    )


def logits(impressions: Impressions, users: Users, ads: Ads, catalog: Catalog, number: int) -> Floats:
    """Log-odds (N, H): click; long click given a click; save given no click; hide given no click."""
    view, user, ad = impressions.view_N, impressions.user_N, impressions.ad_N
    category = ads.category_A[ad]
    topics = _overlap(impressions, users, ads)
    wear = np.log1p(ads.age_A[ad])
    relevance = np.nan_to_num(impressions.relevance_N - 0.5)
    logit_NH = BASE_VH[view] + users.bias_UH[user] + ads.bias_AH[ad]
    logit_NH += CATEGORY_H * catalog.category_VCH[view, category]
    logit_NH += _affinity(impressions, users.taste(number), ads.taste_AK)
    logit_NH += TOPIC_VH[view] * topics[:, None]
    logit_NH += POSITION_VH[view] * np.log1p(impressions.position_N)[:, None]
    logit_NH += RELEVANCE_VH[view] * relevance[:, None]
    logit_NH += QUALITY_H * ads.quality_A[ad][:, None] + WEAR_H * wear[:, None]
    logit_NH += FASHION_H * catalog.fashion(number)[category, view][:, None]
    logit_NH += COUNTRY_H * catalog.category_country[category, users.country_U[user]][:, None]
    logit_NH += HOUR_VH[view] * catalog.category_hour[category, impressions.hour_N][:, None]
    logit_NH[:, LONG_CLICK] += DEVICE_LONG_CLICK[impressions.device_N] * np.where(view == SEARCH, 1.5, 0.7)
    logit_NH[:, HIDE] += AGE_HIDE[users.age_U[user]] * np.where(view == RELATED_PINS, 0.5, 1.5)
    return logit_NH


def _affinity(impressions: Impressions, taste_UK: Floats, taste_AK: Floats) -> Floats:
    """How well tastes meet (N, H), about standard normal times TASTE_H, by the weights of the view type and head."""
    match_NK = taste_UK[impressions.user_N] * taste_AK[impressions.ad_N]
    weight_VHK = VIEW_TASTE_VK[:, None, :] * HEAD_TASTE_HK
    weight_VHK = weight_VHK / np.linalg.norm(weight_VHK, axis=2, keepdims=True)
    affinity_NH = np.empty((len(match_NK), len(HEADS)))
    for view in range(len(VIEW_TYPES)):
        here = impressions.view_N == view
        affinity_NH[here] = match_NK[here] @ weight_VHK[view].T
    return np.asarray(TASTE_H * affinity_NH)


def _overlap(impressions: Impressions, users: Users, ads: Ads) -> Floats:
    """Topics that a user's interests and an ad share, up to three."""
    shared = users.interests_U[impressions.user_N] & ads.topics_A[impressions.ad_N]
    return np.asarray(np.minimum(np.bitwise_count(shared), 3), dtype=np.float64)


def _sigmoid(logit: NDArray[Any]) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))
