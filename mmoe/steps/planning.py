"""Steps that make plans: which days, against whom, with which parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, get_args

from mmoe.errors import ConfigError, RegistryError, TrainingError
from mmoe.lake.horizon import horizon_of
from mmoe.lake.reader import published_days, read_manifest
from mmoe.model_config import ExpertConfig, ModelConfig
from mmoe.registry import Registry, Version
from mmoe.registry.lineage import lineage
from mmoe.steps.context import Context
from mmoe.steps.plan import DayRef, ModelRef, Original, Plan
from mmoe.steps.window import choose_window, days_between
from mmoe.steps.windows import refuse_old_days, refuse_too_old

Kind = Literal["dcnv2", "masknet", "finalmlp", "mlp"]


@dataclass(frozen=True, kw_only=True)
class BatchChoices:
    """What a person may set for one batch run; None or empty leaves params.yaml's value."""

    train_days: int | None = None
    catch_up_days: int | None = None
    holdout_days: int | None = None
    experts: str = ""
    distillation: str = ""
    profile: str = "lift"


def plan_bootstrap_step(context: Context, first: date, last: date) -> dict[str, Any]:
    """Plan the first champion. Raises RegistryError if there is one already."""
    champion = Registry(context.settings).alias("champion")
    if champion is not None:
        raise RegistryError(
            f"version {champion.version} is champion already; bootstrap is for an empty registry. Use batch training."
        )
    days = days_between(published_days(context.store), first, last)
    refuse_old_days(context, days[0], days[-1] + timedelta(days=1))
    return described(context, make_plan(context, kind="bootstrap", train_days=days, model=context.params.baseline))


def plan_batch_step(context: Context, as_of: date, choices: BatchChoices) -> dict[str, Any]:
    """Plan a challenger to the champion. Raises RegistryError without one, PartitionMissingError without days."""
    params, registry = context.params, Registry(context.settings)
    if choices.profile not in params.gate.profiles:
        raise ConfigError(f"profile={choices.profile!r}: not in gate.profiles ({', '.join(params.gate.profiles)}).")
    window = choose_window(
        published_days(context.store),
        as_of,
        maturity_days=context.schema.maturity_days,
        train=choices.train_days or params.window.train_days,
        catch_up=params.window.catch_up_days if choices.catch_up_days is None else choices.catch_up_days,
        holdout=choices.holdout_days or params.window.holdout_days,
    )
    refuse_old_days(context, window.train[0], as_of)
    champion = required_champion(registry)
    baseline = unspoilt_baseline(registry.versions(), champion, min(window.holdout))
    distilled = is_distilled(choices.distillation, default=params.distillation.enabled)
    if distilled:
        refuse_too_old(context, registry, baseline, as_of, "teach", "train without it: --distillation off")
    plan = make_plan(
        context,
        kind="batch",
        champion=champion,
        baseline=baseline,
        train_days=window.train,
        catch_up_days=window.catch_up,
        holdout_days=window.holdout,
        profile=choices.profile,
        distilled=distilled,
        model=chosen_model(choices.experts, params.model),
    )
    return described(context, plan) | {"missing_days": [str(day) for day in window.missing]}


def plan_incremental_step(context: Context, day: date) -> dict[str, Any]:
    """Plan the champion's update through `day`; asks to skip where there is no champion or nothing new."""
    registry = Registry(context.settings)
    champion = registry.alias("champion")
    if champion is None:
        return {"skip": True, "reason": "there is no champion yet; run bootstrap first"}
    new = [each for each in published_days(context.store) if champion.trained_through < each <= day]
    if not new:
        return {"skip": True, "reason": f"version {champion.version} has learned every published day through {day}"}
    refuse_too_old(context, registry, champion, day, "be trained on", "train a new one: batch training")
    again = replayed_days(context, registry, champion, day)
    return described(context, incremental_plan(context, registry, champion, new, again))


def replayed_days(context: Context, registry: Registry, champion: Version, day: date) -> list[date]:
    """The newest days that the champion has learned and that are retained on the day after `day`, as many as
    `incremental.replay` says."""
    replay = context.params.incremental.replay
    if replay is None:
        return []
    model = next(each for each in lineage(registry.versions()) if each.version == champion.version)
    first = horizon_of(day + timedelta(days=1), context.params.retention).day
    known = [each for each in published_days(context.store) if each >= first and each in {*model.own, *model.inherited}]
    return known[-replay.days :]


def incremental_plan(
    context: Context, registry: Registry, champion: Version, days: Sequence[date], again: Sequence[date], *,
    pin: str | None = None, original: Original | None = None,
) -> Plan:  # fmt: skip
    """The champion's update with the days, and with a part of days `again`."""
    return make_plan(
        context,
        kind="incremental",
        champion=champion,
        baseline=champion,
        catch_up_days=days,
        replay_days=again,
        holdout_days=days[-1:],
        holdout_share=context.params.incremental.holdout_share,
        profile="refresh",
        model=ModelConfig.model_validate(registry.config(champion.version)["model"]),
        pin=pin,
        original=original,
    )


def make_plan(
    context: Context,
    *,
    kind: Literal["bootstrap", "batch", "incremental"],
    model: ModelConfig,
    champion: Version | None = None,
    baseline: Version | None = None,
    train_days: Sequence[date] = (),
    catch_up_days: Sequence[date] = (),
    replay_days: Sequence[date] = (),
    holdout_days: Sequence[date] = (),
    holdout_share: float | None = None,
    profile: str | None = None,
    distilled: bool = False,
    pin: str | None = None,
    original: Original | None = None,
) -> Plan:
    """Pin days by their manifests' digests and versions by theirs, and save the plan under its own digest."""

    def pinned(days: Sequence[date]) -> tuple[DayRef, ...]:
        return tuple(DayRef(day=day, digest=read_manifest(context.store, day).digest) for day in days)

    return Plan(
        kind=kind,
        schema_name=context.schema.name,
        schema_fingerprint=context.schema.fingerprint,
        champion=reference(champion),
        baseline=reference(baseline),
        train_days=pinned(train_days),
        catch_up_days=pinned(catch_up_days),
        replay_days=pinned(replay_days),
        holdout_days=pinned(holdout_days),
        holdout_share=holdout_share,
        profile=profile,
        distilled=distilled,
        model=model,
        params=context.params,
        pin=pin,
        original=original,
    ).save(context.settings)


def reference(version: Version | None) -> ModelRef | None:
    if version is None:
        return None
    return ModelRef(version=version.version, digest=version.digest, trained_through=version.trained_through)


def required_champion(registry: Registry) -> Version:
    champion = registry.alias("champion")
    if champion is None:
        raise RegistryError("there is no champion to compare with; run bootstrap first.")
    return champion


def unspoilt_baseline(versions: Sequence[Version], champion: Version, first_holdout: date) -> Version:
    """The champion, or its newest ancestor that has not trained on the held-out days.

    A daily-updated champion has usually learned them; comparing with it would favour it, and being taught by it would
    leak their labels. Raises TrainingError if the whole line has.
    """
    by_version = {version.version: version for version in versions}
    candidate: Version | None = champion
    while candidate is not None and candidate.trained_through >= first_holdout:
        candidate = by_version.get(candidate.parent or "")
    if candidate is None:
        raise TrainingError(
            f"champion version {champion.version} and every ancestor have trained on {first_holdout} or later, so no "
            "held-out day is left to compare on. Ingest newer days, or choose a later as-of date."
        )
    return candidate


def is_distilled(choice: str, *, default: bool) -> bool:
    if choice not in ("", "on", "off"):
        raise ConfigError(f"distillation={choice!r}: use on or off.")
    return default if not choice else choice == "on"


def chosen_model(experts: str, default: ModelConfig) -> ModelConfig:
    """params.yaml's model with another expert set: "dcnv2, dcnv2, mlp". Raises ConfigError for an unknown kind."""
    if not experts.strip():
        return default
    kinds = [kind.strip() for kind in experts.split(",")]
    unknown = [kind for kind in kinds if kind not in get_args(Kind)]
    if unknown:
        raise ConfigError(f"experts={unknown[0]!r}: no such kind; use {', '.join(get_args(Kind))}.")
    known: dict[str, ExpertConfig] = {expert.kind: expert for expert in reversed(default.experts)}
    width = default.experts[0].hidden
    chosen = [known.get(kind) or ExpertConfig.model_validate({"kind": kind, "hidden": width}) for kind in kinds]
    return default.model_copy(update={"experts": tuple(chosen)})


def described(context: Context, plan: Plan) -> dict[str, Any]:
    """A plan in words, for XCom and a shell."""
    rows = {ref.day: read_manifest(context.store, ref.day).rows for ref in (*plan.train_days, *plan.catch_up_days)}
    return {
        "plan": plan.digest,
        "kind": plan.kind,
        "champion": plan.champion.version if plan.champion else None,
        "baseline": plan.baseline.version if plan.baseline else None,
        "train_days": [str(ref.day) for ref in plan.train_days],
        "catch_up_days": [str(ref.day) for ref in plan.catch_up_days],
        "replay_days": [str(ref.day) for ref in plan.replay_days],
        "holdout_days": [str(ref.day) for ref in plan.holdout_days],
        "rows": sum(rows.values()),
        "distilled": plan.distilled,
        "experts": [expert.kind for expert in plan.model.experts],
    }
