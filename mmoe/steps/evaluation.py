"""Steps that compare: score sets of both models, mixed precision, the gate's verdict."""

from pathlib import Path
from typing import Any

from mmoe.data.scores import ScoreSet, read_scores
from mmoe.errors import TrainingError
from mmoe.evaluate.metrics import HeadMetrics, head_metrics
from mmoe.evaluate.offline_gate import evaluate_gate
from mmoe.evaluate.verdict import Finding, GateResult
from mmoe.registry import Registry
from mmoe.serve.benchmark import PrecisionComparison, compare_precisions
from mmoe.serve.scorer import Scorer
from mmoe.steps.context import Context
from mmoe.steps.models import BUNDLE, TRAINABLE, model_folder, open_day, version_folder
from mmoe.steps.plan import ModelRef, Plan, load_plan
from mmoe.steps.training import left_out, score_day
from mmoe.train.state import model_digest, read_state


def evaluate_step(context: Context, plan_id: str) -> dict[str, Any]:
    """Score the held-out rows with baseline and challenger; time the challenger's two exports; log its metrics."""
    plan = load_plan(context.settings, plan_id)
    scored = challenger_scores(context, plan)
    score(context, plan, version_folder(context, required_baseline(plan)) / BUNDLE)
    comparison = measured_precisions(context, plan)
    registry = Registry(context.settings)
    metrics = all_metrics(scored)
    version = registered(registry, context, plan)
    run_id = registry.version(version).run_id
    registry.log_metrics(run_id, as_mlflow(metrics))
    return {
        "plan": plan_id,
        "version": version,
        "run_id": run_id,
        "rows": scored.rows,
        "auc": {metric.head: round(metric.auc, 5) for metric in metrics if metric.view_type is None and metric.auc},
        "bfloat16_latency_ratio": round(comparison.latency_ratio, 3),
    }


def gate_step(context: Context, plan_id: str) -> dict[str, Any]:
    """The verdict on a plan's challenger, kept beside the plan. A fail is a result, not an error."""
    plan = load_plan(context.settings, plan_id)
    result = judge(context, plan)
    write_aside(plan.folder(context.settings) / "gate.json", result.model_dump_json(indent=1))
    headline = result.lift()
    return {
        "plan": plan_id,
        "verdict": result.verdict,
        "lift": None if headline is None else headline.lift,
        "interval": None if headline is None else [headline.low, headline.high],
        "reasons": [finding_text(finding) for finding in result.findings if finding.verdict != "pass"],
    }


def judge(context: Context, plan: Plan) -> GateResult:
    baseline = required_baseline(plan)
    own = {ref.day for ref in (*plan.train_days, *plan.catch_up_days)}
    theirs = {seen.day for seen in read_state(version_folder(context, baseline) / TRAINABLE).days}
    # A daily update trains on its newest day but for the groups that it is judged on.
    shared = {ref.day for ref in plan.holdout_days} if plan.holdout_share is not None else set()
    return evaluate_gate(
        score(context, plan, version_folder(context, baseline) / BUNDLE),
        challenger_scores(context, plan),
        profile_name=str(plan.profile),
        config=plan.params.gate,
        heads=context.schema.heads,
        primary=context.schema.primary_heads,
        view_types=context.schema.view_type.names,
        trained_days=(own - shared) | theirs,
    )


def required_baseline(plan: Plan) -> ModelRef:
    if plan.baseline is None or not plan.holdout_days:
        raise TrainingError(f"plan={plan.digest}: a {plan.kind} plan compares nothing; install it with `mmoe install`.")
    return plan.baseline


def challenger_scores(context: Context, plan: Plan) -> ScoreSet:
    return score(context, plan, model_folder(context, plan) / BUNDLE)


def score(context: Context, plan: Plan, bundle: Path) -> ScoreSet:
    """The score set of a bundle on the plan's held-out rows, from the lake where it is there already."""
    scorer = Scorer.load(bundle, threads=context.settings.threads)
    groups = left_out(plan, keep=True)
    return read_scores([score_day(context, scorer, ref, groups=groups) for ref in plan.holdout_days])


def measured_precisions(context: Context, plan: Plan) -> PrecisionComparison:
    """Measured once per plan: what the report shows is what the evaluation saw."""
    path = plan.folder(context.settings) / "precision.json"
    if not path.exists():
        newest = open_day(context, plan.holdout_days[-1])
        measured = compare_precisions(model_folder(context, plan) / BUNDLE, newest, plan.params.serve)
        write_aside(path, measured.model_dump_json(indent=1))
    return PrecisionComparison.model_validate_json(path.read_bytes())


def all_metrics(scores: ScoreSet) -> list[HeadMetrics]:
    """Per head, over all view types and on each."""
    found = []
    for head in scores.heads:
        found.append(head_metrics(head, None, scores.labels[head], scores.logits[head]))
        for code, name in enumerate(scores.view_type_names):
            rows = scores.view_type == code
            found.append(head_metrics(head, name, scores.labels[head][rows], scores.logits[head][rows]))
    return found


def as_mlflow(metrics: list[HeadMetrics]) -> dict[str, float]:
    values = {}
    for metric in metrics:
        place = f"{metric.head}/{metric.view_type or 'all'}"
        for name in ("auc", "log_loss", "normalised_entropy", "calibration"):
            value = getattr(metric, name)
            if value is not None:
                values[f"{name}/{place}"] = value
    return values


def registered(registry: Registry, context: Context, plan: Plan) -> str:
    """The version that the plan's training registered. Raises TrainingError if it has not."""
    digest = model_digest(model_folder(context, plan) / TRAINABLE)
    found = [version.version for version in registry.versions() if version.digest == digest]
    if not found:
        raise TrainingError(f"plan={plan.digest}: its model is not registered; run its training steps again.")
    return found[-1]


def finding_text(finding: Finding) -> str:
    place = " on ".join(part for part in (finding.head, finding.view_type) if part)
    return f"{finding.verdict}: {finding.rule}{' ' + place if place else ''}: {finding.reason}"


def write_aside(path: Path, text: str) -> None:
    aside = path.with_suffix(".tmp")
    aside.write_text(text)
    aside.replace(path)
