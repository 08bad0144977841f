"""Steps of retention: plan, apply, audit, and legal holds. Days, counts and digests are shown; rows never are."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from mmoe.errors import CorruptionError, LakeError
from mmoe.lake import retention
from mmoe.lake.audit import AuditReport, Walked, audit, save_audit
from mmoe.lake.holds import Hold, add_hold, end_hold, read_holds
from mmoe.lake.horizon import Horizon
from mmoe.lake.inventory import Stores
from mmoe.lake.ledger import Expired, HoldTerms
from mmoe.lake.manifest import to_json
from mmoe.lake.registered import registered_stores
from mmoe.parsing import parse
from mmoe.registry.windows import MODELS_KEY, LearnedModel, LearnedModels
from mmoe.schema import Schema
from mmoe.steps.context import Context
from mmoe.steps.windows import learned_models

WAYS = ("own", "inherited", "taught")


def today_of(schema: Schema, now: datetime) -> date:
    """The date at `now` (UTC) in the schema's days. They have a fixed offset, so no daylight saving time moves them."""
    return (now + timedelta(hours=schema.event_time.day_starts_utc)).date()


def stores_of(context: Context) -> Stores:
    return registered_stores(context.settings, context.schema, context.store)


def retention_plan_step(context: Context, as_of: date, today: date) -> dict[str, Any]:
    """What `as_of` would expire in which store, what holds block, and which models have learned it. Deletes nothing."""
    plan = retention.plan(stores_of(context), as_of, context.params.retention, today=today)
    models = learned_models(context, as_of)
    return {
        "as_of": str(as_of),
        **horizons(plan.horizon),
        "expires": [str(day) for day in plan.expired_days],
        "keeps": [str(day) for day in plan.kept_days],
        "share": round(plan.share, 4),
        **totals(plan.items),
        "items": [item_row(item) for item in plan.items],
        "holds": [hold_row(hold) for hold in plan.holds],
        "undated": list(plan.undated),
        "models": [row for model in models.models if (row := learned_row(model, plan.items))],
        **({"models_unknown": models.unknown} if models.unknown else {}),
    }


def retention_apply_step(
    context: Context, as_of: date, today: date, *, confirmed_by: str | None, dry_run: bool
) -> dict[str, Any]:
    """Expire what the plan names. Raises LakeError above the cap unless somebody confirms."""
    stores = stores_of(context)
    plan = retention.plan(stores, as_of, context.params.retention, today=today)
    if dry_run:
        return {"skip": True, "reason": f"dry run: {len(plan.expired_days)} partitions would expire; nothing deleted"}
    outcome = retention.apply(stores, plan, confirmed_by=confirmed_by)
    return {
        "as_of": str(as_of),
        **horizons(outcome.horizon),
        "ledger_entry": outcome.ledger_entry,
        **totals(outcome.items),
        "items": [item_row(item) for item in outcome.items],
        "holds": [hold_row(hold) for hold in outcome.holds],
    }


def retention_audit_step(context: Context, as_of: date) -> dict[str, Any]:
    """Walk every store and keep the result for the UI. Raises CorruptionError naming each thing that is wrong."""
    report = audit(stores_of(context), as_of, context.params.retention)
    models = learned_models(context, as_of)
    save_audit(context.store, report)
    context.store.write_bytes(MODELS_KEY, to_json(models))
    if not report.ok:
        raise CorruptionError("retention audit: " + " ".join(report.findings))
    return audited(report, models)


def hold_add_step(context: Context, *, span: tuple[date, date], view_type: str | None, owner: str, reason: str,
                  until: date, actor: str) -> dict[str, Any]:  # fmt: skip
    """Add a legal hold. Raises LakeError for an empty owner or reason, a span backwards, an unknown view type."""
    known = context.schema.view_type.names
    if view_type is not None and view_type not in known:
        raise LakeError(f"view_type={view_type!r}: schema {context.schema.name!r} has only {', '.join(known)}.")
    terms = {
        "first": span[0], "last": span[1], "view_type": view_type, "owner": owner, "reason": reason, "until": until,
        "added_by": actor,
    }  # fmt: skip
    return hold_row(add_hold(context.store, parse(Hold, terms, "hold", LakeError)).stated)


def hold_list_step(context: Context, as_of: date) -> dict[str, Any]:
    """Every hold, with its reason, and whether it blocks on `as_of`."""
    found = [
        hold_row(hold.stated) | {"state": state(hold, as_of), "reason": hold.reason, "added_by": hold.added_by}
        for hold in read_holds(context.store)
    ]
    return {"as_of": str(as_of), "active": sum(hold["state"] == "active" for hold in found), "holds": found}


def hold_end_step(context: Context, hold_id: str, actor: str) -> dict[str, Any]:
    """End a hold before its time. Raises LakeError if there is no such hold."""
    hold = end_hold(context.store, hold_id, actor)
    return hold_row(hold.stated) | {"state": "ended", "ended_by": hold.ended_by}


def state(hold: Hold, as_of: date) -> str:
    if hold.ended_by is not None:
        return f"ended by {hold.ended_by}"
    return "active" if hold.active(as_of) else "run out"


def audited(report: AuditReport, models: LearnedModels) -> dict[str, Any]:
    return {
        "as_of": str(report.as_of),
        **(horizons(report.horizon) if report.horizon else {"horizon": None}),
        "readable_behind_horizon": len(report.readable),
        "ledger_entries": report.ledger_entries,
        "ledger_head": report.ledger_head,
        "stores": [walked_row(walked) for walked in report.walked],
        "holds": [hold_row(hold) for hold in report.holds],
        "not_looked_into": [{"file": each.key, "goes_with": str(each.day)} for each in report.unseen],
        "models_too_old": [model.version for model in models.too_old],
        **({"models_unknown": models.unknown} if models.unknown else {}),
    }


def horizons(horizon: Horizon) -> dict[str, Any]:
    """The general one, and those of view types and labels that expire earlier."""
    earlier = {"view_type_horizons": horizon.view_types, "label_horizons": horizon.labels}
    stated = {kind: {name: str(day) for name, day in days.items()} for kind, days in earlier.items() if days}
    return {"horizon": str(horizon.day), **stated}


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


def item_row(item: Expired) -> dict[str, Any]:
    what = "part: " + ", ".join((*item.view_types, *item.labels)) if item.part else "all"
    return {
        "day": str(item.day), "kind": item.kind, "what": what, "files": item.files, "bytes": item.bytes,
        "rows": item.rows,
    }  # fmt: skip


def hold_row(hold: HoldTerms) -> dict[str, Any]:
    return {
        "hold": hold.id, "from": str(hold.first), "to": str(hold.last), "view_type": hold.view_type or "all",
        "owner": hold.owner, "until": str(hold.until),
    }  # fmt: skip


def walked_row(walked: Walked) -> dict[str, Any]:
    return {
        "store": walked.name, "files": walked.files, "bytes": walked.bytes,
        "oldest": str(walked.oldest or "-"), "newest": str(walked.newest or "-"), "where": walked.where,
    }  # fmt: skip


def learned_row(model: LearnedModel, items: Iterable[Expired]) -> dict[str, Any] | None:
    """How many of the expiring days a version has learned, and which way; None if none."""
    found = {day: how for day in sorted({item.day for item in items}) if (how := model.learned(day))}
    if not found:
        return None
    days = {how: " ".join(str(day) for day, way in found.items() if way == how) for how in WAYS}
    return {"version": model.version, "stage": model.stage, "aliases": " ".join(model.aliases) or "-", **days}
