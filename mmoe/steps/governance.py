"""Steps of retention: plan, apply, audit. Days are shown; rows never are."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from mmoe.errors import CorruptionError, LakeError
from mmoe.lake import retention
from mmoe.lake.ledger import Expired
from mmoe.steps.context import Context


def retention_plan_step(context: Context, as_of: date) -> dict[str, Any]:
    """What `as_of` would expire, and what stays. Deletes nothing."""
    plan = retention.plan(context.store, context.settings.landing_path, as_of, context.params.retention)
    return {
        "horizon": str(plan.horizon),
        "expires": [str(day) for day in plan.expired_days],
        "keeps": [str(day) for day in plan.kept_days],
        "held": [str(day) for day in plan.held],
        **totals(plan.items),
    }


def retention_apply_step(context: Context, as_of: date, *, confirmed: bool, dry_run: bool) -> dict[str, Any]:
    """Expire what the plan names. Raises LakeError above the cap unless confirmed."""
    landing = context.settings.landing_path
    plan = retention.plan(context.store, landing, as_of, context.params.retention)
    if dry_run:
        return {"skip": True, "reason": f"dry run: {len(plan.expired_days)} partitions would expire; nothing deleted"}
    outcome = retention.apply(context.store, landing, plan, confirmed=confirmed)
    return {"horizon": str(outcome.horizon), "ledger_entry": outcome.ledger_entry, **totals(outcome.items)}


def retention_audit_step(context: Context, as_of: date | None) -> dict[str, Any]:
    """Prove the lake clean. Raises CorruptionError naming each problem, LakeError if days are overdue on `as_of`."""
    report = retention.audit(context.store, context.settings.landing_path)
    if not report.ok:
        readable = [f"{item.kind} of {item.day} is still readable" for item in report.readable]
        raise CorruptionError("retention audit: " + "; ".join([*report.problems, *readable]))
    if as_of is not None:
        due = retention.plan(context.store, context.settings.landing_path, as_of, context.params.retention)
        if due.items:
            raise LakeError(f"as_of={as_of}: {len(due.expired_days)} partitions are overdue; run retention apply.")
    return {
        "horizon": str(report.horizon),
        "readable_behind_horizon": 0,
        "held": [str(day) for day in report.held],
        "ledger_entries": report.ledger_entries,
    }


def totals(items: Iterable[Expired]) -> dict[str, Any]:
    """Copies, bytes and rows by kind of store."""
    found: dict[str, dict[str, int]] = {}
    for item in items:
        kind = found.setdefault(item.kind, {"days": 0, "files": 0, "bytes": 0, "rows": 0})
        kind["days"] += 1
        kind["files"] += item.files
        kind["bytes"] += item.bytes
        kind["rows"] += item.rows or 0
    return {"copies": found}
