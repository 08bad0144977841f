from datetime import date, timedelta

import pytest

from mmoe.errors import PartitionMissingError
from mmoe.steps.window import choose_window, days_between

FIRST = date(2026, 9, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(20)]


def test_the_three_parts_follow_one_another_and_end_at_the_newest_mature_day():
    window = choose_window(DAYS, date(2026, 9, 21), maturity_days=1, train=5, catch_up=2, holdout=1)
    assert window.holdout == (date(2026, 9, 19),)
    assert window.catch_up == (date(2026, 9, 17), date(2026, 9, 18))
    assert window.train == tuple(date(2026, 9, day) for day in range(12, 17))
    assert window.missing == ()


def test_a_day_whose_labels_are_not_final_is_never_chosen():
    for maturity in range(4):
        window = choose_window(DAYS, date(2026, 9, 21), maturity_days=maturity, train=3, catch_up=1, holdout=1)
        assert max(window.holdout) == date(2026, 9, 20) - timedelta(days=maturity)


def test_days_after_the_as_of_date_do_not_exist():
    window = choose_window(DAYS, date(2026, 9, 10), maturity_days=0, train=30, catch_up=1, holdout=1)
    assert max(window.holdout) == date(2026, 9, 9)
    assert min(window.train) == FIRST


def test_a_hole_in_the_window_is_named():
    holed = [day for day in DAYS if day.day != 15]
    window = choose_window(holed, date(2026, 9, 21), maturity_days=0, train=5, catch_up=2, holdout=1)
    assert window.missing == (date(2026, 9, 15),)
    assert len(window.train) == 5


def test_too_few_days_are_refused_with_what_is_needed():
    with pytest.raises(PartitionMissingError, match="3 published days have final labels, but 4 are needed"):
        choose_window(DAYS[:3], date(2026, 10, 1), maturity_days=0, train=5, catch_up=2, holdout=1)


def test_bootstrap_days_are_the_published_ones_between_both_ends():
    assert days_between(DAYS, date(2026, 8, 1), date(2026, 9, 2)) == (date(2026, 9, 1), date(2026, 9, 2))
    with pytest.raises(PartitionMissingError, match="published: 2026-09-01 to 2026-09-20"):
        days_between(DAYS, date(2026, 8, 1), date(2026, 8, 2))
