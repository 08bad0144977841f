from datetime import date
from pathlib import Path

import pytest

from mmoe.config import load_params
from mmoe.errors import CorruptionError, TrainingError
from mmoe.settings import Settings
from mmoe.steps.plan import DayRef, ModelRef, Plan, load_plan

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def make_plan(**changes):
    params = load_params(ROOT / "params.yaml")
    champion = ModelRef(version="1", digest="c" * 64, trained_through=date(2026, 9, 8))
    content = {
        "kind": "batch",
        "schema_name": "ads",
        "schema_fingerprint": "f" * 64,
        "champion": champion,
        "baseline": champion,
        "train_days": (DayRef(day=date(2026, 9, 10), digest="a" * 64),),
        "catch_up_days": (DayRef(day=date(2026, 9, 11), digest="b" * 64),),
        "holdout_days": (DayRef(day=date(2026, 9, 12), digest="d" * 64),),
        "profile": "lift",
        "distilled": True,
        "model": params.model,
        "params": params,
    }
    return Plan(**(content | changes))


def test_a_saved_plan_is_read_back_equal_under_its_digest(settings):
    plan = make_plan().save(settings)
    assert load_plan(settings, plan.digest) == plan
    assert plan.trained_through == date(2026, 9, 11)


@pytest.mark.parametrize(
    "changes",
    [
        {"train_days": (DayRef(day=date(2026, 9, 10), digest="e" * 64),)},
        {"distilled": False},
        {"profile": "parity"},
        {"champion": ModelRef(version="2", digest="c" * 64, trained_through=date(2026, 9, 8))},
    ],
    ids=["a partition published anew", "distillation", "profile", "champion"],
)
def test_anything_that_changes_the_run_changes_the_digest(changes):
    assert make_plan(**changes).digest != make_plan().digest


def test_an_unknown_plan_says_how_to_make_one(settings):
    with pytest.raises(TrainingError, match="make one with `mmoe plan`"):
        load_plan(settings, "0" * 20)


def test_an_edited_plan_is_refused(settings):
    plan = make_plan().save(settings)
    path = plan.folder(settings) / "plan.json"
    path.write_text(path.read_text().replace('"lift"', '"refresh"', 1))
    with pytest.raises(CorruptionError, match="make a new plan"):
        load_plan(settings, plan.digest)
