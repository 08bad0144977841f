"""Gather what a promotion report says from the plan, the lake, the registry and the models' own states."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from mmoe.data.score_set import ScoreSet
from mmoe.evaluate.measure import all_metrics
from mmoe.evaluate.metrics import calibration_curve
from mmoe.evaluate.verdict import GateResult
from mmoe.lake import ledger
from mmoe.lake.audit import audit
from mmoe.lake.reader import published_days, read_manifest
from mmoe.lake.registered import registered_stores
from mmoe.lake.retention import horizon
from mmoe.registry import PromotionRecord, Records, Registry, Version
from mmoe.report.data import (
    Ancestor,
    Curve,
    Decision,
    Distillation,
    MixedPrecision,
    Model,
    Report,
    Retention,
    ServingCost,
    UsedDay,
)
from mmoe.serve.benchmark import PrecisionComparison
from mmoe.serve.scorer import Scorer
from mmoe.steps.context import Context
from mmoe.steps.curves import curve_points, curves
from mmoe.steps.evaluation import challenger_scores, measured_costs, measured_precisions, required_baseline, score
from mmoe.steps.models import BUNDLE, TRAINABLE, model_folder, open_day, version_folder
from mmoe.steps.plan import Plan
from mmoe.train.state import read_state


def gather(context: Context, plan: Plan, gate: GateResult, *, version: str, source_run: str) -> Report:
    """The report of a plan's challenger."""
    baseline = required_baseline(plan)
    own, theirs = model_folder(context, plan), version_folder(context, baseline)
    held_out = [ref.day for ref in plan.holdout_days]
    distilled = {ref.day for ref in plan.train_days} if plan.distilled else set()
    return Report(
        title=f"{plan.kind.capitalize()} training through {plan.trained_through}",
        report=plan.digest,
        verdict=gate.verdict,
        version=version,
        baseline_version=baseline.version,
        champion_version=plan.champion.version if plan.champion else baseline.version,
        source_run=source_run,
        schema_name=plan.schema_name,
        gate=gate,
        challenger=describe(context, version, own, challenger_scores(context, plan), held_out, distilled),
        champion=describe(context, baseline.version, theirs, score(context, plan, theirs / BUNDLE), held_out, ()),
        curves=tuple(
            Curve(name=name, points=tuple((float(rows), loss) for rows, loss in points))
            for name, points in curves(curve_points(read_state(own / TRAINABLE))).items()
        ),
        gate_use=gate_use(context, plan, own),
        distillation=distillation(context, plan),
        mixed_precision=mixed_precision(measured_precisions(context, plan)),
        serving=ServingCost(**measured_costs(context, plan).model_dump()),
        retention=attestation(context, max(held_out) + timedelta(days=1)),
        reproduce=reproduction(plan),
        config=plan.config,
        decision=decided(context, plan.digest),
    )


def renewed(context: Context, report: Report) -> Report:
    """The report with what has become of it: who decided, which days have expired, what the ledger attests now.

    What was judged and measured stays as it was.
    """
    behind = horizon(context.store)
    distilled = report.distillation
    if distilled is not None:
        known = lineage(Registry(context.settings).versions(), distilled.teacher_version, behind)
        distilled = distilled.model_copy(update={"lineage": tuple(known) or distilled.lineage})
    changes = {
        "challenger": aged(report.challenger, behind),
        "champion": aged(report.champion, behind),
        "distillation": distilled,
        "retention": attestation(context, max(report.gate.days) + timedelta(days=1)),
        "decision": decided(context, report.report),
    }
    return report.model_copy(update=changes)


def aged(model: Model, behind: date | None) -> Model:
    gone = {"expired": True, "rows": None}
    days = (used.model_copy(update=gone) if behind and used.day < behind else used for used in model.days)
    return model.model_copy(update={"days": tuple(days)})


def decided(context: Context, report: str) -> Decision | None:
    """The newest promotion that was decided from a report."""
    records = reversed(Records(context.settings).read())
    return next((decision(each) for each in records if each.report == report and each.state == "done"), None)


def decision(record: PromotionRecord) -> Decision:
    return Decision(actor=record.actor, reason=record.reason, replaces=record.replaces, at=record.at)


def describe(
    context: Context, version: str, folder: Path, scores: ScoreSet, held_out: Collection[date],
    distilled: Collection[date],
) -> Model:  # fmt: skip
    state = read_state(folder / TRAINABLE)
    scorer = Scorer.load(folder / BUNDLE)
    learned = {seen.day: "distilled" if seen.day in distilled else "trained" for seen in state.days}
    uses = dict.fromkeys(held_out, "held out") | learned
    return Model(
        version=version,
        digest=scorer.digest,
        stage=state.stages[-1].kind,
        experts=tuple(expert.kind for expert in state.model.experts),
        parameters=sum(parameter.numel() for parameter in scorer.network.parameters()),
        days=tuple(used_day(context, day, uses[day]) for day in sorted(uses)),
        metrics=tuple(all_metrics(scores)),
        calibration={
            head: calibration_curve(scores.labels[head][final], scores.logits[head][final])
            for head in scores.heads
            if (final := scores.labels[head] == scores.labels[head]).any()
        },
    )


def used_day(context: Context, day: date, use: str) -> UsedDay:
    behind = horizon(context.store)
    if day not in published_days(context.store):
        return UsedDay.model_validate({"day": day, "use": use, "rows": None, "expired": bool(behind and day < behind)})
    manifest = read_manifest(context.store, day)
    warnings = manifest.validation.warnings
    return UsedDay.model_validate(
        {"day": day, "use": use, "rows": manifest.rows, "expired": False, "warnings": warnings}
    )


def gate_use(context: Context, plan: Plan, folder: Path) -> dict[str, dict[str, tuple[float, ...]]]:
    found = Scorer.load(folder / BUNDLE).gate_use(open_day(context, plan.holdout_days[-1]))
    return {head: {name: tuple(use) for name, use in slices.items()} for head, slices in found.items()}


def distillation(context: Context, plan: Plan) -> Distillation | None:
    if not plan.distilled or plan.baseline is None:
        return None
    settings = plan.params.distillation
    return Distillation(
        teacher_version=plan.baseline.version,
        teacher_digest=plan.baseline.digest,
        loss=settings.loss,
        weight=settings.weight,
        days=tuple(ref.day for ref in plan.train_days),
        lineage=tuple(lineage(Registry(context.settings).versions(), plan.baseline.version, horizon(context.store))),
    )


def lineage(versions: Sequence[Version], teacher: str, behind: date | None) -> list[Ancestor]:
    """The teacher and everything that it has learned from, nearest first, each once."""
    by_version = {each.version: each for each in versions}
    by_digest = {each.digest: each for each in versions}
    found: dict[str, Ancestor] = {}
    waiting = [(teacher, "teacher")]
    while waiting:
        name, relation = waiting.pop(0)
        if name in found or name not in by_version:
            continue
        known = by_version[name]
        found[name] = Ancestor(
            version=name, relation=relation, stage=known.stage, first_day=known.first_day,
            trained_through=known.trained_through, days=known.days, expired=how_expired(known, behind),
        )  # fmt: skip
        if known.parent:
            waiting.append((known.parent, f"version {name} started from it"))
        if known.teacher and known.teacher in by_digest:
            waiting.append((by_digest[known.teacher].version, f"teacher of version {name}"))
    return list(found.values())


def how_expired(version: Version, behind: date | None) -> Literal["none", "some", "all"]:
    if behind is None or version.first_day >= behind:
        return "none"
    return "all" if version.trained_through < behind else "some"


def mixed_precision(measured: PrecisionComparison) -> MixedPrecision:
    deltas = [delta for delta in measured.auc_delta.values() if delta is not None]
    return MixedPrecision(
        **measured.model_dump(exclude={"latency_ratio", "auc_delta"}),
        summary={
            "latency_ratio": measured.latency_ratio,
            "auc_delta": sum(deltas) / len(deltas) if deltas else None,
        },
    )


def attestation(context: Context, as_of: date) -> Retention:
    """What the audit finds now; holds count as on `as_of`."""
    checked = audit(registered_stores(context.settings, context.schema, context.store), as_of)
    return Retention(
        horizon=checked.horizon.day if checked.horizon else None,
        expired_days=tuple(ledger.expired_days(context.store)),
        ledger_entries=checked.ledger_entries,
        ledger_whole=checked.ok,
    )


def reproduction(plan: Plan) -> str:
    steps = ["score", "train batch", "train incremental", "evaluate", "gate-plan"]
    chosen = steps if plan.kind == "batch" else steps[2:]
    return " && ".join(f"mmoe {step} --plan {plan.digest}" for step in chosen)
