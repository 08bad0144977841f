from datetime import date, timedelta

import pytest

from mmoe.demo.timeline import plan_timeline
from mmoe.errors import SchemaError
from mmoe.steps.window import choose_window


def days(count):
    return [date(2026, 9, 1) + timedelta(days=n) for n in range(count)]


@pytest.mark.parametrize(("count", "maturity", "rows"), [(24, 1, 50_000), (14, 0, 15_000), (6, 0, 100), (30, 2, 1)])
def test_the_champion_has_learned_only_days_that_expire_before_the_challenger_trains(count, maturity, rows):
    timeline = plan_timeline(days(count), maturity_days=maturity, rows_per_day=rows)
    horizon = timeline.as_of - timedelta(days=timeline.retention_days)
    kept = [day for day in timeline.history if day >= horizon]
    assert timeline.bootstrap[1] < horizon == kept[0]
    window = choose_window(
        kept, timeline.as_of, maturity_days=maturity, train=timeline.train_days, catch_up=timeline.catch_up_days,
        holdout=timeline.holdout_days,
    )  # fmt: skip
    assert window.train[0] == horizon
    assert timeline.fresh not in timeline.history


def test_a_small_log_holds_out_more_days():
    assert plan_timeline(days(14), maturity_days=0, rows_per_day=15_000).holdout_days == 2
    assert plan_timeline(days(24), maturity_days=1, rows_per_day=50_000).holdout_days == 1


def test_a_log_that_is_too_short_is_refused():
    with pytest.raises(SchemaError, match="has 5 days, but the loop needs at least 6"):
        plan_timeline(days(5), maturity_days=0, rows_per_day=1000)
