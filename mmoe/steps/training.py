"""Steps that train: teacher scores, batch, incremental; each leaves an MLflow run."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from mmoe.data.teachers import Teacher
from mmoe.errors import TrainingError
from mmoe.registry import Registry, UsedDay, Version, VersionRecord, VersionRecords
from mmoe.serve.scorer import Scorer
from mmoe.steps.context import Context
from mmoe.steps.curves import all_curves, live_key, told
from mmoe.steps.describing import cost_metrics
from mmoe.steps.models import (
    BUNDLE,
    TRAINABLE,
    assemble_model,
    batch_folder,
    candidate_folder,
    open_day,
    version_folder,
)
from mmoe.steps.plan import DayRef, Plan, load_plan
from mmoe.steps.provenance import provenance
from mmoe.steps.remaking import confirm, recipe, run_key, threads
from mmoe.steps.scoring import calibration_share, fitted_calibrator, held_out, holdout_share, score_day
from mmoe.train.batch import train_batch
from mmoe.train.distributed import ALONE, Processes
from mmoe.train.incremental import train_incremental
from mmoe.train.resume import Cadence
from mmoe.train.spec import TrainResult, network_spec
from mmoe.train.state import model_digest, read_state


def score_teacher_step(context: Context, plan_id: str) -> dict[str, Any]:
    """The baseline's score sets on the distilled days: made once per day and model, reused by every experiment."""
    plan = load_plan(context.settings, plan_id)
    if not plan.distilled:
        return {"plan": plan_id, "score_sets": 0, "teacher": None}
    paths = teacher_scores(context, plan)
    return {"plan": plan_id, "score_sets": len(paths), "teacher": plan.baseline.version if plan.baseline else None}


def train_batch_step(context: Context, plan_id: str, group: Processes = ALONE) -> dict[str, Any]:
    """Train the plan's days, with distillation where it says so, and log the run."""
    plan = load_plan(context.settings, plan_id)
    if not plan.train_days:
        return {"plan": plan_id, "rows": 0}
    distillation = plan.params.distillation.model_copy(update={"enabled": plan.distilled})
    with told(context, plan, "batch") as progress:
        result = train_batch(
            schema=context.schema,
            model=plan.model,
            params=plan.params.model_copy(update={"distillation": distillation}),
            partitions=group.leader_first(lambda: [open_day(context, ref) for ref in plan.train_days]),
            teacher_scores=group.leader_first(lambda: teachers(context, plan)),
            calibration=None if plan.catch_up_days else calibration_share(plan, keep=False),
            held_out=group.leader_first(lambda: held_out(context, plan)),
            output=batch_folder(context, plan),
            threads=threads(context, plan),
            progress=progress,
            cadence=cadence(context),
            group=group,
        )
    if not group.leads:
        return trained(plan, result)
    if plan.catch_up_days:
        run_id = log_run(context, plan, result, group, stage="batch", folder=result.folder, days=plan.train_days)
        return trained(plan, result) | {"run_id": run_id}
    return trained(plan, result) | register(context, plan, result, group)


def train_incremental_step(context: Context, plan_id: str, group: Processes = ALONE) -> dict[str, Any]:
    """Learn the plan's catch-up days in order, log the run, register the version."""
    plan = load_plan(context.settings, plan_id)
    if not plan.catch_up_days:
        return {"plan": plan_id, "skip": False, "reused": True, "digest": model_digest(candidate_folder(context, plan))}
    start = group.leader_first(lambda: start_folder(context, plan))
    with told(context, plan, "incremental", before=read_state(start).rows) as progress:
        result = train_incremental(
            start=start,
            schema=context.schema,
            params=plan.params,
            partitions=group.leader_first(lambda: [open_day(context, ref) for ref in plan.catch_up_days]),
            replayed=group.leader_first(lambda: [open_day(context, ref) for ref in plan.replay_days]),
            output=candidate_folder(context, plan),
            holdout=holdout_share(plan, keep=False),
            calibration=calibration_share(plan, keep=False),
            threads=threads(context, plan),
            progress=progress,
            cadence=cadence(context),
            group=group,
        )
    return trained(plan, result) | (register(context, plan, result, group) if group.leads else {})


def cadence(context: Context) -> Cadence:
    return Cadence(seconds=context.settings.checkpoint_seconds, steps=context.settings.checkpoint_steps)


def start_folder(context: Context, plan: Plan) -> Path:
    """What incremental training continues: this plan's batch stage, or the champion."""
    if plan.train_days:
        return batch_folder(context, plan)
    if plan.champion is None:
        raise TrainingError(f"plan={plan.digest}: has neither training days nor a champion to start from.")
    return version_folder(context, plan.champion) / TRAINABLE


def teachers(context: Context, plan: Plan) -> list[Teacher]:
    if not plan.distilled or plan.baseline is None:
        return []
    return [Teacher(digest=plan.baseline.digest, scores=teacher_scores(context, plan))]


def teacher_scores(context: Context, plan: Plan) -> dict[date, Path]:
    if plan.baseline is None:
        raise TrainingError(f"plan={plan.digest}: distillation needs a baseline to teach, but the plan has none.")
    scorer = Scorer.load(version_folder(context, plan.baseline) / BUNDLE, threads=threads(context, plan))
    return {ref.day: score_day(context, scorer, ref) for ref in plan.train_days}


def register(context: Context, plan: Plan, result: TrainResult, group: Processes) -> dict[str, Any]:
    """Log the finished model and register it as a version. An experiment is logged alone, a reproduction compared."""
    folder = assemble_model(context, plan, fitted_calibrator(context, plan, result.folder))
    if plan.original is not None:
        return confirm(context, plan.original, result, group)
    days = plan.learned_days
    run_id = log_run(context, plan, result, group, stage=plan.kind, folder=folder, days=days)
    if plan.pin is not None:
        return {"run_id": run_id}
    registry = Registry(context.settings)
    parent = plan.champion.version if plan.kind == "incremental" and plan.champion else None
    version = registry.register(
        run_id,
        digest=result.digest,
        line=registry.version(parent).line if parent else plan.digest,
        stage=plan.kind,
        trained_through=plan.trained_through,
        days=[ref.day for ref in days],
        parent=parent,
        baseline=plan.baseline.version if plan.baseline else None,
        teacher=plan.baseline.digest if plan.distilled and plan.baseline else None,
    )
    VersionRecords(context.settings).write(version_record(plan, version))
    if plan.kind != "bootstrap":
        registry.set_challenger(version.version)
    return {"run_id": run_id, "version": version.version}


def version_record(plan: Plan, version: Version) -> VersionRecord:
    names = VersionRecord.model_fields.keys() - {"plan", "config"}
    return VersionRecord(
        plan=plan.digest,
        config=plan.config,
        **{name: getattr(version, name) for name in names},
    )


def log_run(
    context: Context, plan: Plan, result: TrainResult, group: Processes, *, stage: str, folder: Path,
    days: Iterable[DayRef],
) -> str:  # fmt: skip
    teacher = plan.baseline if plan.distilled and stage != "incremental" else None
    uses = dict.fromkeys(plan.replay_days, "replay") | dict.fromkeys(plan.train_days if teacher else (), "distillation")
    made_by = provenance(
        context.settings.code_commit, context.settings.threads,
        processes=result.state.stages[-1].processes, shard_rows=group.shard_rows,
    )  # fmt: skip
    return Registry(context.settings).log_training(
        key=run_key(plan, result.digest),
        name=f"{plan.kind} through {result.state.trained_through}"
        + (" (before catch-up)" if folder == result.folder else ""),
        params=plan.model_dump(mode="json"),
        metrics={
            "examples_per_second": result.examples_per_second,
            "rows": float(result.state.rows),
            "steps": float(result.state.steps),
            "seconds": result.seconds,
            **cost_metrics(network_spec(result.state.data_schema, result.state.model)),
        },
        curves=all_curves(result.state),
        live=live_key(plan, result.state.stages[-1].kind),
        tags={
            "plan": plan.digest,
            "stage": stage,
            "model_digest": result.digest,
            "schema_fingerprint": plan.schema_fingerprint,
            **made_by.tags,
            **({} if plan.pin else {"reproduce": recipe(made_by, result.digest)}),
            **({"pin": plan.pin} if plan.pin else {}),
            **({"teacher_version": teacher.version, "teacher_digest": teacher.digest} if teacher else {}),
        },
        folder=folder,
        days=[UsedDay(day=ref.day, digest=ref.digest, use=uses.get(ref, "training")) for ref in days],
    )


def trained(plan: Plan, result: TrainResult) -> dict[str, Any]:
    return {
        "plan": plan.digest,
        "digest": result.digest,
        "rows": result.state.stages[-1].rows,
        "examples_per_second": round(result.examples_per_second),
        "seconds": round(result.seconds, 1),
        "reused": result.reused,
        "resumed_at": result.resumed_at,
    }
