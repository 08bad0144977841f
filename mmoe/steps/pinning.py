"""Steps that pin a window for experiments, and that plan one on it."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from mmoe.errors import RegistryError, SchemaError
from mmoe.lake.reader import published_days, read_manifest
from mmoe.registry import Registry, Version
from mmoe.steps.context import Context
from mmoe.steps.dvc_project import point_at
from mmoe.steps.pin import Pin, load_pin, pinned_digest, refuse_changed
from mmoe.steps.plan import DayRef, ModelRef, Plan
from mmoe.steps.planning import described, incremental_plan, make_plan, reference, required_champion, unspoilt_baseline
from mmoe.steps.window import choose_window


def pin_step(context: Context, as_of: date, project: Path) -> dict[str, Any]:
    """Pin what a batch training on `as_of` may use: the published days before it, and the champion."""
    days = [day for day in published_days(context.store) if day < as_of]
    pin = Pin(
        kind="batch",
        as_of=as_of,
        schema_fingerprint=context.schema.fingerprint,
        champion=reference(required_champion(Registry(context.settings))),
        days=tuple(DayRef(day=day, digest=read_manifest(context.store, day).digest) for day in days),
        profile="lift",
    )
    return pinned(context, pin, project)


def pinned(context: Context, pin: Pin, project: Path) -> dict[str, Any]:
    """Save the pin in the lake and make it the DVC project's dataset."""
    point_at(project, context.settings.lake_url, pin.save(context.store))
    return {
        "window": pin.digest,
        "as_of": str(pin.as_of),
        "champion": pin.champion.version if pin.champion else None,
        "days": [str(ref.day) for ref in pin.days],
    }


def plan_pinned_step(context: Context, lockfile: Path) -> dict[str, Any]:
    """Plan an experiment on the window that dvc.lock names. Raises as `refuse_changed` does if it is not whole."""
    pin = load_pin(context.store, pinned_digest(lockfile))
    refuse_changed(context.store, pin.days, described_pin(pin))
    if pin.schema_fingerprint != context.schema.fingerprint:
        raise SchemaError(
            f"MMOE_SCHEMA_FILE={context.settings.schema_file!r}: not the schema the window was pinned by."
        )
    return described(context, plan_on(context, pin))


def described_pin(pin: Pin) -> str:
    if pin.original is not None:
        return f"the training window of version {pin.original.version}"
    return f"the window pinned as of {pin.as_of}"


def plan_on(context: Context, pin: Pin) -> Plan:
    registry, days = Registry(context.settings), [ref.day for ref in pin.days]
    if pin.champion is None:
        return make_plan(
            context, kind="bootstrap", train_days=days, model=context.params.baseline, pin=pin.digest,
            original=pin.original,
        )  # fmt: skip
    champion = same_version(registry, pin.champion)
    if pin.kind == "incremental":
        new, again = ([day for day in days if (day > champion.trained_through) == is_new] for is_new in (True, False))
        return incremental_plan(context, registry, champion, new, again, pin=pin.digest, original=pin.original)
    return batch_plan(context, registry, pin, champion, days)


def batch_plan(context: Context, registry: Registry, pin: Pin, champion: Version, days: Sequence[date]) -> Plan:
    """The days that params.yaml's window takes of the pinned ones, as batch training would take them."""
    params = context.params
    window = choose_window(
        days, pin.as_of, maturity_days=context.schema.maturity_days, train=params.window.train_days,
        catch_up=params.window.catch_up_days, holdout=params.window.holdout_days,
    )  # fmt: skip
    return make_plan(
        context,
        kind="batch",
        champion=champion,
        baseline=unspoilt_baseline(registry.versions(), champion, min(window.holdout)),
        train_days=window.train,
        catch_up_days=window.catch_up,
        holdout_days=window.holdout,
        profile=pin.profile,
        distilled=params.distillation.enabled,
        model=params.model,
        pin=pin.digest,
        original=pin.original,
    )


def same_version(registry: Registry, ref: ModelRef) -> Version:
    """Raises RegistryError if the registry's version is not the pinned model."""
    version = registry.version(ref.version)
    if version.digest != ref.digest:
        raise RegistryError(f"version={ref.version}: another model than the pinned one; pin the window again.")
    return version
