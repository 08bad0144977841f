"""The step that prepares a DVC project to make a registered version again."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from mmoe.config import Params
from mmoe.errors import RegistryError
from mmoe.registry import Registry, Version
from mmoe.steps.context import Context
from mmoe.steps.dvc_project import forget_results, refuse_edited_params, write_params
from mmoe.steps.pin import Pin, refuse_changed
from mmoe.steps.pinning import described_pin, pinned
from mmoe.steps.plan import Original, Plan
from mmoe.steps.provenance import Provenance, provenance

FEWEST_CHARACTERS = 8


def reproduce_step(context: Context, wanted: str, project: Path) -> dict[str, Any]:
    """Put a version's parameters and window into the project, for `dvc repro` to train it again.

    Raises PartitionExpiredError if its window has expired, TrainingError if a day was published anew since.
    """
    registry = Registry(context.settings)
    version = find_version(registry.versions(), wanted)
    original = Original(version=version.version, digest=version.digest, made_by=recorded(registry, version))
    plan = Plan.model_validate_json(json.dumps(registry.config(version.version)))
    pin = pin_of(context, plan, original)
    refuse_changed(context.store, pin.days, described_pin(pin))
    refuse_edited_params(project)
    write_params(project, resolved(plan))
    forget_results(project)
    described = pinned(context, pin, project)
    return {"version": version.version, "digest": version.digest, **described, **code(context, original.made_by)}


def find_version(versions: list[Version], wanted: str) -> Version:
    """By number, or by the first characters of the model's digest. Raises RegistryError unless it is exactly one."""
    found = [each for each in versions if each.version == wanted]
    if not found and len(wanted) >= FEWEST_CHARACTERS:
        found = [each for each in versions if each.digest.startswith(wanted)]
    if len(found) != 1:
        known = ", ".join(f"{each.version} ({each.digest[:12]})" for each in versions) or "none"
        raise RegistryError(f"version={wanted!r}: {len(found)} versions match; registered are: {known}.")
    return found[0]


def recorded(registry: Registry, version: Version) -> Provenance:
    try:
        return Provenance.from_tags(registry.tags(version.version))
    except KeyError as error:
        raise RegistryError(
            f"version={version.version}: its run does not record {error.args[0]!r}: nothing says how to make it again."
        ) from None


def pin_of(context: Context, plan: Plan, original: Original) -> Pin:
    """The recorded plan's days as a pinned window."""
    days = plan.learned_days
    if plan.kind == "batch":
        days = (*days, *plan.holdout_days)
    return Pin(
        kind=plan.kind,
        as_of=days[-1].day + timedelta(days=1 + context.schema.maturity_days),
        schema_fingerprint=plan.schema_fingerprint,
        champion=plan.champion,
        days=days,
        profile=plan.profile,
        original=original,
    )


def resolved(plan: Plan) -> Params:
    """params.yaml with what that run's trigger form had changed: experts, window, distillation."""
    params = plan.params
    if plan.kind == "bootstrap":
        return params.model_copy(update={"baseline": plan.model})
    if plan.kind == "incremental":
        return params
    window = {
        "train_days": len(plan.train_days), "catch_up_days": len(plan.catch_up_days),
        "holdout_days": len(plan.holdout_days),
    }  # fmt: skip
    return params.model_copy(
        update={
            "model": plan.model,
            "window": params.window.model_copy(update=window),
            "distillation": params.distillation.model_copy(update={"enabled": plan.distilled}),
        }
    )


def code(context: Context, then: Provenance) -> dict[str, Any]:
    """What of the code and the machine is not as it was, and how to go on."""
    now = provenance(
        context.settings.code_commit, then.threads, processes=then.processes, shard_rows=then.shard_rows
    )  # fmt: skip
    return {
        "commit": then.commit,
        "checked_out": now.commit,
        "same_commit": then.commit == now.commit and not (then.dirty or now.dirty),
        "differences": then.differences(now),
        "next": "dvc repro catch_up",
    }
