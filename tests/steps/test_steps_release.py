"""mmoe.steps.release: only what loads and scores becomes champion."""

import shutil
from datetime import date, timedelta

import pytest
import yaml

from mmoe.errors import RegistryError, TrainingError
from mmoe.evaluate.verdict import GateResult
from mmoe.registry import Registry
from mmoe.serve.export import export_bundle
from mmoe.serve.scorer import Scorer
from mmoe.settings import Settings
from mmoe.steps.context import Context
from mmoe.steps.plan import DayRef, ModelRef, Plan
from mmoe.steps.release import promote_step, refuse_unfit, rollback_step


@pytest.fixture
def context(tmp_path):
    return Context(Settings(home=tmp_path / "home", registered_model="test_model"))


@pytest.fixture
def register(context, tmp_path, trained):
    """register("digest", broken=…) -> a version whose bundle is the trained model's, or is cut."""

    def register(digest: str, *, broken: bool = False) -> str:
        folder = tmp_path / digest[:8]
        folder.mkdir()
        export_bundle(trained.folder, folder / "bundle")
        if broken:
            (folder / "bundle" / "float32.safetensors").write_bytes(b"cut")
        registry = Registry(context.settings)
        run = registry.log_training(key=digest, name="a", params={}, metrics={}, curves={}, tags={}, folder=folder)
        day = date(2026, 3, 1)
        version = registry.register(run, digest=digest, line="l", stage="batch", trained_through=day, days=[day])
        return version.version

    return register


def test_a_version_passes_by_what_the_registry_holds_and_a_broken_or_foreign_one_does_not(
    context, register, trained
) -> None:
    registry = Registry(context.settings)
    sound, broken, foreign = register(trained.digest), register("b" * 64, broken=True), register("c" * 64)
    assert refuse_unfit(context, registry, sound).model_digest == trained.digest
    with pytest.raises(RegistryError, match=r"not fit to serve.*float32\.safetensors"):
        refuse_unfit(context, registry, broken)
    with pytest.raises(RegistryError, match="its bundle is of model"):
        refuse_unfit(context, registry, foreign)
    assert list(context.settings.work.iterdir()) == []


LEARNED = date(2026, 3, 1)


@pytest.fixture
def judged(context, register, trained, params):
    """judged(max_model_age_days) -> a context and a plan whose model has learned LEARNED, as the registry says too, and
    has passed the gate on the day after."""

    def judge(limit: int) -> tuple[Context, str]:
        settings = context.settings
        content = params.model_dump(mode="json") | {"retention": {"max_model_age_days": limit}}
        settings.home.mkdir(exist_ok=True)
        path = settings.home / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        registry = Registry(settings)
        if registry.alias("champion") is None:
            registry.bootstrap(register("f" * 64), actor="test")
            register(trained.digest)
        champion = registry.version("1")
        reference = ModelRef(version="1", digest=champion.digest, trained_through=LEARNED)
        plan = Plan(
            kind="batch", schema_name="small", schema_fingerprint="s", champion=reference, baseline=reference,
            train_days=(DayRef(day=LEARNED, digest="d"),), catch_up_days=(),
            holdout_days=(DayRef(day=LEARNED + timedelta(days=1), digest="d"),), profile="lift", distilled=False,
            model=params.model, params=params,
        ).save(settings)  # fmt: skip
        folder = plan.folder(settings)
        if not (folder / "model").exists():
            shutil.copytree(trained.folder, folder / "model" / "trainable")
            export_bundle(trained.folder, folder / "model" / "bundle")
        verdict = GateResult(
            verdict="pass", profile="lift", confidence=0.95, min_lift=0.001, slice_margin=-0.001, days=(LEARNED,),
            rows=1, champion_digest=champion.digest, challenger_digest=Scorer.load(folder / "model" / "bundle").digest,
            findings=(), lifts=(), calibration=(),
        )  # fmt: skip
        (folder / "gate.json").write_text(verdict.model_dump_json())
        return Context(settings.model_copy(update={"params_file": path})), plan.digest

    return judge


def test_a_model_beyond_the_age_limit_is_not_promoted_whatever_its_verdict_and_reason(judged):
    context, plan = judged(5)
    registry = Registry(context.settings)
    for as_of in (LEARNED + timedelta(days=6), LEARNED + timedelta(days=90)):
        with pytest.raises(TrainingError, match=r"version 2 may not become champion: .* 2026-03-01, \d+ days before"):
            promote_step(context, plan, "ann", "an override", as_of=as_of)
    assert registry.alias("champion").version == "1"
    assert promote_step(context, plan, "ann", "", as_of=LEARNED + timedelta(days=5))["champion"] == "2"


@pytest.mark.parametrize("stated", [False, True])
def test_a_rollback_is_held_to_the_age_limit_unless_the_parameters_state_otherwise(
    context, register, trained, params, tmp_path, stated
):
    limits = {"max_model_age_days": 5, "rollback_beyond_max_age": stated}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params.model_dump(mode="json") | {"retention": limits}))
    context = Context(context.settings.model_copy(update={"params_file": path}))
    registry = Registry(context.settings)
    old = register(trained.digest)
    champion = registry.bootstrap(register("f" * 64), actor="test").version
    wish = {"to": old, "expected_champion": champion, "actor": "bob", "reason": "hides went up"}
    if not stated:
        with pytest.raises(TrainingError, match=r"version 1 may not become champion again: .*=5; take a younger one"):
            rollback_step(context, as_of=LEARNED + timedelta(days=6), **wish)
        assert registry.alias("champion").version == champion
    as_of = LEARNED + timedelta(days=90 if stated else 5)
    assert rollback_step(context, as_of=as_of, **wish)["champion"] == old
    assert registry.alias("champion").version == old


def test_without_an_as_of_date_the_age_is_taken_the_day_after_the_plans_newest_one(judged):
    context, plan = judged(1)
    with pytest.raises(TrainingError, match=r"2 days before 2026-03-03, and retention\.max_model_age_days=1"):
        promote_step(context, plan, "ann", "")
    context, plan = judged(2)
    assert promote_step(context, plan, "ann", "")["champion"] == "2"
