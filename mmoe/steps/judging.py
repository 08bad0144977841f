"""Steps that judge: the gate on a plan's challenger, and on score sets that anyone made."""

from datetime import date
from typing import Any

from mmoe.evaluate.guardrails import Cost, Facts
from mmoe.evaluate.offline_gate import evaluate_gate
from mmoe.evaluate.verdict import Finding, GateResult
from mmoe.lake.reader import published_days, read_manifest
from mmoe.registry import Registry
from mmoe.schema import VIEW_TYPE
from mmoe.steps.context import Context
from mmoe.steps.evaluation import challenger_scores, measured_costs, required_baseline, score, write_aside
from mmoe.steps.models import BUNDLE, TRAINABLE, model_folder, version_folder
from mmoe.steps.plan import Plan, load_plan
from mmoe.train.state import model_digest, read_state


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
        "rows_needed": result.rows_needed,
        "reasons": objections(result),
    }


def judge(context: Context, plan: Plan) -> GateResult:
    baseline = version_folder(context, required_baseline(plan))
    return evaluate_gate(
        score(context, plan, baseline / BUNDLE),
        challenger_scores(context, plan),
        profile_name=str(plan.profile),
        config=plan.params.gate,
        heads=context.schema.heads,
        primary=context.schema.primary_heads,
        expected={VIEW_TYPE: context.schema.view_type.names},
        watched=tuple(context.schema.slices),
        facts=gather_facts(context, plan),
    )


def gather_facts(context: Context, plan: Plan) -> Facts:
    """What the gate asks beside the score sets. Raises what reading the registry, the lake and the models raises."""
    baseline = required_baseline(plan)
    theirs = {seen.day for seen in read_state(version_folder(context, baseline) / TRAINABLE).days}
    own = {seen.day for seen in read_state(model_folder(context, plan) / TRAINABLE).days}
    held_out = {ref.day for ref in plan.holdout_days}
    # A daily update trains on its newest day but for the groups that it is judged on.
    shared = held_out if plan.holdout_share is not None else set()
    costs = measured_costs(context, plan)
    used = {ref.day for ref in plan.learned_days} | held_out
    return Facts(
        champion_now=champion_now(context, plan),
        champion_planned=None if plan.champion is None else plan.champion.version,
        trained_days=(own - shared) | theirs,
        champion_cost=Cost(latency_ms=costs.champion_ms, size_bytes=costs.champion_bytes),
        challenger_cost=Cost(latency_ms=costs.challenger_ms, size_bytes=costs.challenger_bytes),
        used_days=used,
        warned_days={day for day in used & set(published_days(context.store)) if warned(context, day)},
        learned_through=plan.trained_through,
    )


def champion_now(context: Context, plan: Plan) -> str | None:
    """The champion; once the plan's own model is, the one that it replaced, so that judging again changes nothing."""
    champion = Registry(context.settings).alias("champion")
    if champion is None:
        return None
    promoted = champion.digest == model_digest(model_folder(context, plan) / TRAINABLE)
    return plan.champion.version if promoted and plan.champion else champion.version


def warned(context: Context, day: date) -> bool:
    return bool(read_manifest(context.store, day).validation.warnings)


def objections(result: GateResult) -> list[str]:
    return [finding_text(finding) for finding in result.findings if finding.verdict != "pass"]


def finding_text(finding: Finding) -> str:
    return f"{finding.verdict}: {finding.rule}{' ' + finding.place if finding.place else ''}: {finding.reason}"
