"""Steps of the quarantine: list, show, release."""

from datetime import UTC, date, datetime
from typing import Any

from mmoe.errors import PartitionMissingError
from mmoe.lake.examination import read_examination
from mmoe.lake.manifest import Failure, Release
from mmoe.lake.quarantine import QuarantineRecord, list_quarantined, list_releases, release
from mmoe.lake.reader import find_manifest, read_manifest
from mmoe.lake.representable import LEFT_OUT
from mmoe.steps.context import Context
from mmoe.steps.data import publish_step, validate_step


def list_step(context: Context, *, closed: bool) -> dict[str, Any]:
    """Open records by day; with `closed`, also those that something later settled."""
    records = list_quarantined(context.store, closed=closed)
    return {"days": len({record.day for record in records}), "quarantined": [_row(record) for record in records]}


def show_step(context: Context, day: date) -> dict[str, Any]:
    """Why the day is, or was, in quarantine. Raises PartitionMissingError when it never was."""
    records = list_quarantined(context.store, day=day, closed=True)
    if not records:
        raise PartitionMissingError(f"day={day}: never in quarantine; `mmoe quarantine list --all` shows what was.")
    record = next((each for each in records if each.closed_by is None), records[-1])
    examination = read_examination(context.store, day, record.validation.subject)
    return {
        **_row(record),
        "counts": record.counts,
        "checks": record.validation.checks,
        "compared_with": [str(past) for past in examination.compared_with] if examination else [],
        "sources": [source.name for source in record.sources],
        "failures": [_failure(failure) for failure in record.validation.failures],
        "releases": [
            {"at": decision.at.isoformat(), "actor": decision.actor, "reason": decision.reason}
            for decision in list_releases(context.store, day)
        ],
    }


def release_step(context: Context, day: date, *, actor: str, reason: str) -> dict[str, Any]:
    """Record the decision, then publish what it is about. Run again after an interruption, it goes on."""
    now = datetime.now(UTC).replace(microsecond=0)
    decision = release(context.store, day, actor=actor, reason=reason, at=now)
    if not _is_published(context, decision):
        validate_step(context, day)
        publish_step(context, day)
    manifest = read_manifest(context.store, day)
    return {
        "day": str(day),
        "rows": manifest.rows,
        "left_out_rows": manifest.counts.get(LEFT_OUT, 0),
        "manifest": manifest.digest,
        "status": manifest.validation.status,
        "actor": decision.actor,
        "reason": decision.reason,
        "at": decision.at.isoformat(),
        "overrides": [_failure(failure) for failure in decision.overrides],
    }


def _is_published(context: Context, decision: Release) -> bool:
    manifest = find_manifest(context.store, decision.day)
    return manifest is not None and manifest.validation.release == decision


def _row(record: QuarantineRecord) -> dict[str, Any]:
    return {
        "day": str(record.day),
        "state": "quarantined" if record.closed_by is None else "settled",
        "rows": record.rows,
        "reason": record.reason,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return failure.model_dump(mode="json")
