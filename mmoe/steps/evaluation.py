"""Steps that compare: score sets of both models, what they measure, what serving costs."""

import re
from pathlib import Path
from typing import Any

from mmoe.data.score_set import ScoreSet
from mmoe.data.scores import read_scores
from mmoe.errors import TrainingError
from mmoe.evaluate.measure import all_metrics
from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.verdict import slice_name
from mmoe.registry import Registry
from mmoe.serve.benchmark import CostComparison, PrecisionComparison, compare_costs, compare_precisions
from mmoe.serve.scorer import Scorer
from mmoe.steps.context import Context
from mmoe.steps.models import BUNDLE, TRAINABLE, model_folder, open_day, version_folder
from mmoe.steps.plan import ModelRef, Plan, load_plan
from mmoe.steps.remaking import run_key
from mmoe.steps.scoring import judged_groups, score_day
from mmoe.train.state import model_digest


def evaluate_step(context: Context, plan_id: str) -> dict[str, Any]:
    """Score the held-out rows with baseline and challenger; time the challenger's two exports; log its metrics."""
    plan = load_plan(context.settings, plan_id)
    scored = challenger_scores(context, plan)
    score(context, plan, version_folder(context, required_baseline(plan)) / BUNDLE)
    comparison = measured_precisions(context, plan)
    costs = measured_costs(context, plan)
    registry = Registry(context.settings)
    metrics = all_metrics(scored)
    version = None if plan.pin else registered(registry, context, plan)
    run_id = None if plan.original else training_run(registry, context, plan)
    if run_id is not None:
        registry.log_metrics(run_id, as_mlflow(metrics))
    return {
        "plan": plan_id,
        "version": version,
        "run_id": run_id,
        "rows": scored.rows,
        "auc": {metric.head: round(metric.auc, 5) for metric in metrics if metric.slice is None and metric.auc},
        "bfloat16_latency_ratio": round(comparison.latency_ratio, 3),
        "latency_ratio": round(costs.challenger_ms / costs.champion_ms, 3),
    }


def required_baseline(plan: Plan) -> ModelRef:
    if plan.baseline is None or not plan.holdout_days:
        raise TrainingError(f"plan={plan.digest}: a {plan.kind} plan compares nothing; install it with `mmoe install`.")
    return plan.baseline


def challenger_scores(context: Context, plan: Plan) -> ScoreSet:
    return score(context, plan, model_folder(context, plan) / BUNDLE)


def score(context: Context, plan: Plan, bundle: Path) -> ScoreSet:
    """The score set of a bundle, as it serves, on the plan's held-out rows; from the lake where it is there already."""
    scorer = Scorer.load(bundle, threads=context.settings.threads, calibrated=True)
    groups = judged_groups(plan)
    return read_scores([score_day(context, scorer, ref, groups=groups) for ref in plan.holdout_days])


def measured_costs(context: Context, plan: Plan) -> CostComparison:
    """Champion beside challenger, measured once per plan."""
    path = plan.folder(context.settings) / "costs.json"
    if not path.exists():
        newest = open_day(context, plan.holdout_days[-1])
        before = version_folder(context, required_baseline(plan)) / BUNDLE
        measured = compare_costs(before, model_folder(context, plan) / BUNDLE, newest, plan.params.serve)
        write_aside(path, measured.model_dump_json(indent=1))
    return CostComparison.model_validate_json(path.read_bytes())


def measured_precisions(context: Context, plan: Plan) -> PrecisionComparison:
    """Measured once per plan: what the report shows is what the evaluation saw."""
    path = plan.folder(context.settings) / "precision.json"
    if not path.exists():
        newest = open_day(context, plan.holdout_days[-1])
        measured = compare_precisions(model_folder(context, plan) / BUNDLE, newest, plan.params.serve)
        write_aside(path, measured.model_dump_json(indent=1))
    return PrecisionComparison.model_validate_json(path.read_bytes())


def as_mlflow(metrics: list[HeadMetrics]) -> dict[str, float]:
    values = {}
    for metric in metrics:
        place = f"{metric.head}/{mlflow_name(metric)}"
        for name in (
            "auc",
            "grouped_auc",
            "pr_auc",
            "log_loss",
            "normalised_entropy",
            "calibration",
            "calibration_error",
        ):
            value = getattr(metric, name)
            if value is not None:
                values[f"{name}/{place}"] = value
    return values


def mlflow_name(metric: HeadMetrics) -> str:
    """`all`, a view type's name, or another slice's column and name, in the characters that MLflow allows."""
    return re.sub(r"[^\w\- ./]", "_", slice_name(metric.slice_by, metric.slice) or "all")


def training_run(registry: Registry, context: Context, plan: Plan) -> str:
    """The MLflow run of the plan's training. Raises TrainingError if there is none."""
    run_id = registry.run(run_key(plan, model_digest(model_folder(context, plan) / TRAINABLE)))
    if run_id is None:
        raise TrainingError(f"plan={plan.digest}: its training is not logged; run its training steps again.")
    return run_id


def registered(registry: Registry, context: Context, plan: Plan) -> str:
    """The version that the plan's training registered. Raises TrainingError if it has not."""
    digest = model_digest(model_folder(context, plan) / TRAINABLE)
    found = [version.version for version in registry.versions() if version.digest == digest]
    if not found:
        raise TrainingError(f"plan={plan.digest}: its model is not registered; run its training steps again.")
    return found[-1]


def write_aside(path: Path, text: str) -> None:
    aside = path.with_suffix(".tmp")
    aside.write_text(text)
    aside.replace(path)
