"""mmoe.evaluate.monitor: what a day says, and when it raises an alarm."""

from datetime import date, timedelta

import numpy as np
import pytest

from mmoe.config import MonitorConfig
from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.monitor import EDGES, MonitoredDay, histograms, watch

FIRST = date(2026, 3, 1)
CONFIG = MonitorConfig()


def metric(calibration=1.0, positives=500):
    return HeadMetrics(
        head="click", rows=5000, positives=positives, auc=0.7, pr_auc=0.3, log_loss=0.4,
        normalised_entropy=0.9, calibration=calibration,
    )  # fmt: skip


def monitored(number, *, counts=None, **changes):
    return MonitoredDay(
        day=FIRST + timedelta(days=number), version="1", digest="d", partition="p", learned_through=FIRST, rows=5000,
        metrics=(metric(**changes),), histograms={"click": counts or (5000, *[0] * len(EDGES))},
    )  # fmt: skip


def look(number, days, *, learned=None, published=None, config=CONFIG):
    """The rules that raise an alarm on FIRST + number days."""
    dates = [each.day for each in days] if published is None else [FIRST + timedelta(days=n) for n in published]
    learned_through = FIRST + timedelta(days=number - 1 if learned is None else learned)
    found = watch(
        FIRST + timedelta(days=number), learned_through=learned_through, published=dates, monitored=days, config=config
    )
    return [(alarm.rule, (alarm.day - FIRST).days) for alarm in found.alarms]


def test_a_fresh_calibrated_champion_raises_no_alarm():
    assert look(3, [monitored(0), monitored(1), monitored(2)]) == []


def test_without_a_champion_there_is_one_alarm():
    found = watch(FIRST, learned_through=None, published=[], monitored=[], config=CONFIG)
    assert [alarm.rule for alarm in found.alarms] == ["no champion"]


@pytest.mark.parametrize(("age", "rules"), [(3, []), (4, [("stale champion", 9)])])
def test_a_champion_is_stale_after_the_set_number_of_whole_days(age, rules):
    assert look(9, [], learned=8 - age) == rules


def test_a_day_that_is_absent_or_waits_to_be_learned_is_missed():
    days = [monitored(0), monitored(1), monitored(3)]
    assert look(5, days, learned=3, published=[0, 1, 3, 4]) == [("missed day", 2), ("missed day", 4)]


def test_days_before_monitoring_began_and_days_learned_from_a_backfill_are_not_missed():
    assert look(4, [monitored(2), monitored(3)], published=[2, 3]) == []
    assert look(4, [monitored(1), monitored(3)], learned=3, published=[1, 2, 3]) == []


def test_a_missed_day_is_forgotten_after_the_look_back():
    days = [monitored(0), *(monitored(number) for number in range(2, 12))]
    assert look(8, days[:7]) == [("missed day", 1)]
    assert look(9, days[:8]) == []


@pytest.mark.parametrize("calibration", [1.3, 1 / 1.3])
def test_calibration_is_judged_in_both_directions_on_the_newest_day(calibration):
    days = [monitored(0), monitored(1, calibration=calibration)]
    assert look(2, days) == [("calibration", 1)]
    assert look(2, list(reversed([monitored(1), monitored(0, calibration=calibration)]))) == []
    assert look(2, [monitored(0), monitored(1, calibration=1.2)]) == []


def test_few_positives_and_labels_that_are_not_final_are_not_judged():
    assert look(1, [monitored(0, calibration=3.0, positives=99)]) == []
    assert look(1, [monitored(0, calibration=None)]) == []


def test_shifted_predictions_raise_an_alarm():
    empty = [0] * (len(EDGES) - 1)
    before, after = monitored(0, counts=(2500, 2500, *empty)), monitored(1, counts=(4500, 500, *empty))
    assert look(2, [before, after]) == [("score shift", 1)]


def test_a_histogram_counts_every_row_once():
    class Scores:
        logits = {"click": np.array([-50, -10, -9.9, 0.0, 0.4, 50], dtype=np.float32)}  # noqa: RUF012

    (counts,) = histograms(Scores()).values()
    assert (len(counts), sum(counts), counts[0], counts[-1]) == (len(EDGES) + 1, 6, 1, 1)
    assert counts[1] == 2
