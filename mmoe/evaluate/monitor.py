"""Progressive validation: how the champion predicts each fresh day before it learns it, and when to raise an alarm."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from math import exp, log
from typing import Literal

import numpy as np
from pydantic import Field

from mmoe.config import MonitorConfig
from mmoe.data.score_set import ScoreSet
from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.shift import stability_index
from mmoe.parsing import Frozen

EDGES = tuple(half / 2 for half in range(-20, 11))
"""Logits that part the bins of a histogram: fixed, so that days stay comparable after their scores have expired."""


class MonitoredDay(Frozen):
    """One fresh day, predicted by the champion that had not learned it. Counts and statistics only."""

    day: date
    version: str
    """The champion then."""
    digest: str
    partition: str
    """Digest of the day's manifest."""
    learned_through: date
    rows: int
    metrics: tuple[HeadMetrics, ...] = Field(strict=False)
    """Per head, over all view types and on each."""
    histograms: dict[str, tuple[int, ...]]
    """Per head: rows by predicted logit, parted at EDGES."""

    @property
    def heads(self) -> tuple[str, ...]:
        return tuple(self.histograms)

    def of(self, head: str, view_type: str | None = None) -> HeadMetrics | None:
        return next((each for each in self.metrics if (each.head, each.slice) == (head, view_type)), None)


class Alarm(Frozen):
    """Something that a person must look at."""

    rule: Literal["no champion", "stale champion", "missed day", "calibration", "score shift"]
    day: date
    head: str | None = None
    text: str


class Watch(Frozen):
    """One look at the state of things."""

    as_of: date
    alarms: tuple[Alarm, ...] = Field(strict=False)


def histograms(scores: ScoreSet) -> dict[str, tuple[int, ...]]:
    """Per head: rows by predicted logit, parted at EDGES."""
    bins = len(EDGES) + 1
    return {
        head: tuple(np.bincount(np.digitize(logits, EDGES), minlength=bins).tolist())
        for head, logits in scores.logits.items()
    }


def watch(
    as_of: date,
    *,
    learned_through: date | None,
    published: Collection[date],
    monitored: Sequence[MonitoredDay],
    config: MonitorConfig,
) -> Watch:
    """What is wrong at the start of `as_of`. `monitored` is oldest first; None: there is no champion."""
    if learned_through is None:
        text = "no version is champion; run bootstrap, or roll back"
        return Watch(as_of=as_of, alarms=(Alarm(rule="no champion", day=as_of, text=text),))
    recent = [each for each in monitored if as_of - timedelta(days=config.look_back_days) <= each.day < as_of]
    return Watch(
        as_of=as_of,
        alarms=(
            *stale(as_of, learned_through, config),
            *missed(as_of, learned_through, published, monitored, config),
            *(miscalibrated(recent[-1], config) if recent else ()),
            *(shifted(recent[-2], recent[-1], config) if len(recent) > 1 else ()),
        ),
    )


def stale(as_of: date, learned_through: date, config: MonitorConfig) -> list[Alarm]:
    age = (as_of - learned_through).days - 1
    if age <= config.max_age_days:
        return []
    text = f"the champion has learned nothing since {learned_through}: {age} days, more than {config.max_age_days}"
    return [Alarm(rule="stale champion", day=as_of, text=text)]


def missed(
    as_of: date,
    learned_through: date,
    published: Collection[date],
    monitored: Sequence[MonitoredDay],
    config: MonitorConfig,
) -> list[Alarm]:
    """Days since monitoring began that were not published, or that wait for the champion to learn them."""
    seen = {each.day for each in monitored}
    first = max(min(seen, default=as_of), as_of - timedelta(days=config.look_back_days))
    days = [first + timedelta(days=number) for number in range((as_of - first).days)]
    absent = [day for day in days if day not in published and day not in seen]
    waiting = [day for day in days if day in published and day not in seen and day > learned_through]
    return [Alarm(rule="missed day", day=day, text=f"{day} was not published") for day in absent] + [
        Alarm(rule="missed day", day=day, text=f"{day} is published, but the champion was not tested on it")
        for day in waiting
    ]


def miscalibrated(newest: MonitoredDay, config: MonitorConfig) -> list[Alarm]:
    found = []
    for head in newest.heads:
        metric = newest.of(head)
        if metric is None or not metric.calibration or metric.positives < config.min_positives:
            continue
        error = exp(abs(log(metric.calibration))) - 1
        if error > config.max_calibration_error:
            text = (
                f"{head}: predicted over observed rate {metric.calibration:.3f} on {newest.day}, "
                f"off by more than {config.max_calibration_error:.0%}"
            )
            found.append(Alarm(rule="calibration", day=newest.day, head=head, text=text))
    return found


def shifted(before: MonitoredDay, newest: MonitoredDay, config: MonitorConfig) -> list[Alarm]:
    found = []
    for head in (head for head in newest.heads if head in before.histograms):
        shift = stability_index(before.histograms[head], newest.histograms[head])
        if shift > config.max_score_shift:
            text = (
                f"{head}: predictions on {newest.day} have shifted against {before.day}, "
                f"stability index {shift:.2f}, more than {config.max_score_shift:g}"
            )
            found.append(Alarm(rule="score shift", day=newest.day, head=head, text=text))
    return found
