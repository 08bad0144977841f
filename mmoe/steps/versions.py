"""Steps by version: promote it, find its report, and how the champion changed."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from mmoe.errors import MmoeError, RegistryError
from mmoe.registry import Registry
from mmoe.report.data import Report
from mmoe.report.render import render
from mmoe.steps.context import Context
from mmoe.steps.plan import load_plan
from mmoe.steps.release import promote_step, saved_verdict, write_report
from mmoe.steps.reporting import gather, renewed


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
    """Make a version's report anew, JSON and HTML, here and in MLflow; `changed` says whether anything differed.

    What was judged and measured is taken from MLflow's copy, or else from the one here, or else from its plan. Who
    decided, which days have expired and what the ledger attests are as of now. Raises RegistryError where none is left.
    """
    registry = Registry(context.settings)
    name, found = required_report(registry, version), registry.version(version)
    folder = context.settings.reports / name
    here, kept = contents(folder), kept_in_mlflow(context, registry, version)
    report = current_report(context, name, version, (kept, here))
    wanted = {"report.html": render(report), "report.json": report.model_dump_json(indent=1)}
    changed = not (here == kept == wanted and (folder / "summary.json").is_file())
    if changed:
        write_report(context, registry, report, found.run_id)
    return {
        "version": version, "report": name, "verdict": found.verdict, "changed": changed,
        "html": path_of(folder, "report.html"), "json": path_of(folder, "report.json"),
    }  # fmt: skip


def current_report(context: Context, name: str, version: str, copies: Sequence[Mapping[str, str]]) -> Report:
    """From the first copy that this release reads, or else from its plan. Raises RegistryError."""
    for copy in copies:
        with suppress(KeyError, ValidationError):
            return renewed(context, Report.model_validate_json(copy["report.json"]))
    try:
        plan = load_plan(context.settings, name)
        return gather(context, plan, saved_verdict(context, plan), version=version, source_run="shell")
    except MmoeError as error:
        raise RegistryError(
            f"version={version}: neither MLflow nor {context.settings.reports} keeps a readable report {name}, and it "
            f"cannot be made again: {error}"
        ) from error


def kept_in_mlflow(context: Context, registry: Registry, version: str) -> dict[str, str]:
    context.settings.work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=context.settings.work, prefix="report-") as aside, suppress(RegistryError):
        registry.download_report(version, Path(aside))
        return contents(Path(aside))
    return {}


def contents(folder: Path) -> dict[str, str]:
    """Name -> text of the report's files that are there."""
    return {
        name: (folder / name).read_text(encoding="utf-8", errors="replace")
        for name in ("report.html", "report.json")
        if (folder / name).is_file()
    }


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
