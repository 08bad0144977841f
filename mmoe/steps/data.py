"""Steps of the data plane: deliver, ingest, validate, publish."""

from datetime import date
from pathlib import Path
from typing import Any

from mmoe.errors import LakeError
from mmoe.lake.ingest import stage_day
from mmoe.lake.landing import deliver, find_days
from mmoe.lake.offers import how_to_train, offer
from mmoe.lake.publish import load_validation, publish, save_validation
from mmoe.lake.quarantine import quarantine, with_release, withdraw
from mmoe.lake.reader import trailing_manifests
from mmoe.lake.staging import load_staged
from mmoe.steps.context import Context

BACKFILL_PREFIX = "backfill__"


def deliver_step(context: Context, folder: Path, span: tuple[date, date] | None) -> dict[str, Any]:
    """Raw files of a data folder into the landing zone, of all days or of a span."""
    days = None if span is None else [day for day in find_days(folder, context.schema) if span[0] <= day <= span[1]]
    delivery = deliver(folder, context.schema, context.settings.landing_path, days=days)
    return {"days": len(delivery.days), "written": delivery.written, "unsorted": delivery.unsorted}


def ingest_step(context: Context, day: date) -> dict[str, Any]:
    """Landing files into a staged day."""
    staged = stage_day(context.store, context.settings.landing_path, context.schema, day)
    return {"day": str(day), "rows": staged.rows, "problems": len(staged.problems), **staged.counts}


def validate_step(context: Context, day: date) -> dict[str, Any]:
    """Check the staged day; a critical failure puts it in quarantine and raises LakeError with the reason."""
    from mmoe.quality import validate

    staged = load_staged(context.store, day)
    found = validate(context.store, staged, context.schema, trailing_manifests(context.store, day))
    validation = with_release(context.store, day, found)
    save_validation(context.store, day, validation)
    if validation.status == "failed":
        record = quarantine(context.store, staged, validation)
        raise LakeError(f"day={day}: quarantined: {record.reason}. Correct the landing files, then clear this run.")
    return {
        "day": str(day),
        "status": validation.status,
        "checks": validation.checks,
        "warnings": list(validation.warnings),
    }


def publish_step(context: Context, day: date) -> dict[str, Any]:
    """The validated day into the lake."""
    from mmoe.quality import verify_partition

    staged = load_staged(context.store, day)
    manifest = publish(context.store, staged, load_validation(context.store, day), context.schema)
    verified = verify_partition(context.store, context.schema, manifest)
    if verified.status == "failed":
        record = withdraw(context.store, manifest, verified)
        raise LakeError(f"day={day}: {record.reason}. Clear this run from ingest.")
    return {"day": str(day), "rows": manifest.rows, "bytes": manifest.bytes, "manifest": manifest.digest}


def offer_training_step(context: Context, day: date, source_run: str) -> dict[str, Any]:
    """Whether the day may start incremental training: a backfilled one is only offered to a person."""
    if not source_run.startswith(BACKFILL_PREFIX):
        return {"day": str(day)}
    if not offer(context.store, day, source_run):
        return {"day": str(day), "skip": True, "reason": f"{day} is as a champion has learned it: nothing to train"}
    reason = f"{day} was backfilled and starts no training. To train on it: {how_to_train(day)}"
    return {"day": str(day), "skip": True, "reason": reason}
