"""Steps by version: promote it, find its report, and how the champion changed."""

from datetime import date
from pathlib import Path
from typing import Any

from mmoe.errors import RegistryError
from mmoe.registry import Registry
from mmoe.steps.context import Context
from mmoe.steps.plan import load_plan
from mmoe.steps.release import promote_step, saved_verdict


def promote_version_step(
    context: Context, version: str, *, actor: str, reason: str, override: bool = False, as_of: date | None = None
) -> dict[str, Any]:
    """Make a judged version champion; `reason` is recorded. What did not pass needs `override`.

    Raises RegistryError, or TrainingError for its age on `as_of`, when it may not be promoted: see `promote_step`.
    """
    if not reason.strip():
        raise RegistryError("reason='': a promotion needs one; say why this version should serve.")
    report = required_report(Registry(context.settings), version)
    verdict = saved_verdict(context, load_plan(context.settings, report)).verdict
    if verdict != "pass" and not override:
        raise RegistryError(f"version={version}: verdict is {verdict}; add --override to promote it all the same.")
    return promote_step(context, report, actor, reason, as_of=as_of)


def report_version_step(context: Context, version: str) -> dict[str, Any]:
    """Where a version's report lies, fetched from MLflow if it is not here. Raises RegistryError if it has none."""
    registry = Registry(context.settings)
    report = required_report(registry, version)
    folder = context.settings.reports / report
    if not all((folder / name).is_file() for name in ("report.html", "report.json")):
        registry.download_report(version, folder)
    found = registry.version(version)
    return {
        "version": version, "report": report, "verdict": found.verdict, "html": path_of(folder, "report.html"),
        "json": path_of(folder, "report.json"),
    }  # fmt: skip


def history_step(context: Context) -> dict[str, Any]:
    """Every change of the champion, oldest first: who, when, why, from what to what."""
    registry = Registry(context.settings)
    champion = registry.alias("champion")
    changes = [record.model_dump(mode="json") for record in registry.history()]
    return {"champion": None if champion is None else champion.version, "changes": changes}


def required_report(registry: Registry, version: str) -> str:
    report = registry.version(version).report
    if report is None:
        raise RegistryError(f"version={version}: it has no report; run evaluate, gate-plan and report on its plan.")
    return report


def path_of(folder: Path, name: str) -> str:
    return str((folder / name).absolute())
