from dataclasses import replace
from datetime import date

import pytest

from mmoe.errors import ConfigError, TrainingError
from mmoe.model_config import ExpertConfig, ModelConfig
from mmoe.registry import Version
from mmoe.steps.planning import chosen_model, is_distilled, unspoilt_baseline

FIRST = Version(
    version="1", run_id="r1", digest="d1", line="a", stage="bootstrap", trained_through=date(2026, 9, 8),
    first_day=date(2026, 9, 1), days=8, parent=None, baseline=None, teacher=None, verdict=None, report=None, aliases=(),
)  # fmt: skip
BATCH = replace(FIRST, version="2", digest="d2", stage="batch", trained_through=date(2026, 9, 21))
DAILY = replace(BATCH, version="3", digest="d3", stage="incremental", trained_through=date(2026, 9, 24), parent="2")


def test_a_champion_that_has_not_seen_the_held_out_day_is_the_baseline():
    assert unspoilt_baseline([FIRST, BATCH], BATCH, date(2026, 9, 22)) == BATCH


def test_a_champion_that_learned_the_held_out_day_gives_way_to_its_ancestor():
    assert unspoilt_baseline([FIRST, BATCH, DAILY], DAILY, date(2026, 9, 23)) == BATCH


def test_a_line_that_has_seen_everything_is_refused():
    with pytest.raises(TrainingError, match="no held-out day is left"):
        unspoilt_baseline([FIRST, BATCH, DAILY], DAILY, date(2026, 9, 20))


def test_experts_may_be_named_in_the_trigger_form():
    default = ModelConfig(experts=(ExpertConfig(kind="dcnv2", layers=3, hidden=(64, 32)),))
    chosen = chosen_model("dcnv2, mlp", default)
    assert [(expert.kind, expert.layers, expert.hidden) for expert in chosen.experts] == [
        ("dcnv2", 3, (64, 32)),
        ("mlp", 2, (64, 32)),
    ]
    assert chosen_model(" ", default) is default


def test_an_unknown_expert_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"experts='dcn': no such kind; use dcnv2, masknet, finalmlp, mlp"):
        chosen_model("dcn", ModelConfig(experts=(ExpertConfig(kind="mlp"),)))


@pytest.mark.parametrize(
    ("choice", "default", "expected"), [("", True, True), ("off", True, False), ("on", False, True)]
)
def test_distillation_follows_the_form_and_else_params(choice, default, expected):
    assert is_distilled(choice, default=default) is expected
