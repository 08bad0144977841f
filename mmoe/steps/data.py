"""Steps of the data plane: deliver, ingest, validate, publish, mature."""

from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from mmoe.errors import LakeError, PartitionMissingError
from mmoe.lake.ingest import day_lock, stage_day
from mmoe.lake.landing import deliver, find_days
from mmoe.lake.manifest import Validation
from mmoe.lake.maturing import days_to_renew, known_as_of
from mmoe.lake.offers import how_to_train, offer
from mmoe.lake.publish import load_validation, publish, save_validation
from mmoe.lake.quarantine import quarantine, with_release, withdraw
from mmoe.lake.reader import find_manifest, trailing_manifests
from mmoe.lake.staging import Staged, load_staged
from mmoe.steps.context import Context

BACKFILL_PREFIX = "backfill__"


def deliver_step(context: Context, folder: Path, span: tuple[date, date] | None) -> dict[str, Any]:
    """Raw files of a data folder into the landing zone, of all days or of a span."""
    days = None if span is None else [day for day in find_days(folder, context.schema) if span[0] <= day <= span[1]]
    delivery = deliver(folder, context.schema, context.settings.landing_path, days=days)
    return {"days": len(delivery.days), "written": delivery.written, "unsorted": delivery.unsorted}


def ingest_step(context: Context, day: date, as_of: date | None = None) -> dict[str, Any]:
    """Landing files into a staged day. Labels that a published partition of the day has as final stay so."""
    with context.store.lock(day_lock(day)):
        return _ingest(context, day, as_of)


def validate_step(context: Context, day: date) -> dict[str, Any]:
    """Check the staged day; a critical failure puts it in quarantine and raises LakeError with the reason."""
    with context.store.lock(day_lock(day)):
        return _validate(context, day)


def publish_step(context: Context, day: date) -> dict[str, Any]:
    """The validated day into the lake."""
    with context.store.lock(day_lock(day)):
        return _publish(context, day)


def mature_step(context: Context, as_of: date) -> dict[str, Any]:
    """Publish anew every day that is behind what has arrived for it, labels as of the start of `as_of`.

    All are tried; then LakeError names those that could not be, whose earlier publication stays.
    """
    renewed, refused = [], []
    for day in days_to_renew(context.store, context.schema, as_of):
        with context.store.lock(day_lock(day)):
            if day not in days_to_renew(context.store, context.schema, as_of):
                continue  # another run was faster
            try:
                for step in (partial(_ingest, as_of=as_of), _validate, _publish):
                    step(context, day)
                renewed.append(str(day))
            except LakeError as error:
                refused.append(str(error))
    if refused:
        raise LakeError(" ".join(refused))
    return {"as_of": str(as_of), "days": renewed}


def _ingest(context: Context, day: date, as_of: date | None = None) -> dict[str, Any]:
    published = find_manifest(context.store, day)
    known = [known_as_of(published)] if published else []
    as_of = max([day + timedelta(days=1), *([as_of] if as_of else []), *known])
    staged = stage_day(context.store, context.settings.landing_path, context.schema, day, as_of=as_of)
    late = {str(late.day): late.file.rows for late in staged.late}
    problems = len(staged.problems)
    return {"day": str(day), "rows": staged.rows, "problems": problems, **staged.counts, "late_days": late}


def _validate(context: Context, day: date) -> dict[str, Any]:
    staged = load_staged(context.store, day)
    validation = _judged(context, staged)
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


def _judged(context: Context, staged: Staged) -> Validation:
    """What is published already, by this run or a faster one, was judged before its staged rows were removed."""
    from mmoe.quality import validate, verify_staged

    try:
        found = validate(context.store, staged, context.schema, trailing_manifests(context.store, staged.day))
        if found.status != "failed":
            found = found.joined(verify_staged(context.store, context.schema, staged))
        return with_release(context.store, staged.day, found)
    except PartitionMissingError:
        published = find_manifest(context.store, staged.day)
        if published is None or published.validation.subject != staged.digest:
            raise
        return published.validation


def _publish(context: Context, day: date) -> dict[str, Any]:
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
