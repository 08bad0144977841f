"""mmoe.steps.monitoring: a look leaves its result for the page, and is an error when something is wrong."""

from datetime import date
from pathlib import Path

import pytest

from mmoe.errors import MonitoringError
from mmoe.registry import Registry
from mmoe.registry.monitored import Monitored
from mmoe.settings import Settings
from mmoe.steps.context import Context
from mmoe.steps.monitoring import watch_step

ROOT = Path(__file__).resolve().parents[2]


def test_a_look_raises_what_is_wrong_and_keeps_it_for_the_page(tmp_path, trained) -> None:
    settings = Settings(home=tmp_path / "home", registered_model="m", params_file=ROOT / "params.yaml")
    context, as_of = Context(settings), date(2026, 3, 5)
    with pytest.raises(MonitoringError, match="no version is champion"):
        watch_step(context, as_of)
    registry, day = Registry(settings), date(2026, 3, 1)
    run = registry.log_training(
        key="k", name="a", params={}, metrics={}, curves={}, tags={}, folder=trained.folder, days=()
    )
    registry.register(run, digest="d" * 64, line="l", stage="bootstrap", trained_through=day, days=[day])
    registry.bootstrap("1", actor="ada")
    assert watch_step(context, as_of) == {"as_of": "2026-03-05", "champion": "1", "alarms": 0}
    assert Monitored(settings).read_watch().alarms == ()
    with pytest.raises(MonitoringError, match="the champion has learned nothing since 2026-03-01: 4 days, more than 3"):
        watch_step(context, date(2026, 3, 6))
    assert [alarm.rule for alarm in Monitored(settings).read_watch().alarms] == ["stale champion"]
