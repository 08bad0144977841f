from datetime import date

import pytest

from mmoe.lake.offers import open_offers
from mmoe.settings import Settings
from mmoe.steps import data
from mmoe.steps.context import Context

DAY = date(2026, 9, 3)


@pytest.fixture
def context(tmp_path):
    return Context(Settings(home=tmp_path))


def test_a_day_of_the_schedule_or_of_a_person_is_announced(context):
    for run in ("scheduled__2026-09-04", "manual__x"):
        assert data.offer_training_step(context, DAY, run) == {"day": "2026-09-03"}
    assert open_offers(context.store) == []


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        (True, """airflow dags trigger incremental_training --conf '{"day": "2026-09-03"}'"""),
        (False, "2026-09-03 is as a champion has learned it: nothing to train"),
    ],
)
def test_a_backfilled_day_is_skipped_with_what_a_person_may_do(context, monkeypatch, offered, said):
    monkeypatch.setattr(data, "offer", lambda store, day, run: offered)
    result = data.offer_training_step(context, DAY, "backfill__2026-09-03")
    assert result["skip"] is True
    assert said in result["reason"]
