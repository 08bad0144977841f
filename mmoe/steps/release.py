"""Steps that release: install the first champion, write the report, promote."""

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmoe.errors import EvaluationError, MmoeError, RegistryError
from mmoe.evaluate.verdict import GateResult
from mmoe.lake.offers import learned
from mmoe.registry import PromotionRecord, Registry
from mmoe.report.data import Report
from mmoe.report.render import render
from mmoe.serve.scorer import Scorer
from mmoe.serve.smoke import SmokeTest, smoke_test
from mmoe.steps.context import Context
from mmoe.steps.evaluation import registered, write_aside
from mmoe.steps.judging import finding_text
from mmoe.steps.models import BUNDLE, TRAINABLE, model_folder
from mmoe.steps.plan import Plan, load_plan
from mmoe.steps.reporting import decision, gather
from mmoe.steps.windows import refuse_too_old
from mmoe.train.state import model_digest, read_state

MOST_REASONS = 8


def install_step(context: Context, plan_id: str, actor: str) -> dict[str, Any]:
    """Make a bootstrap plan's model the first champion. Raises RegistryError if there is another one, and TrainingError
    if it has learned a day that is too old."""
    plan = load_plan(context.settings, plan_id)
    if plan.kind != "bootstrap":
        raise RegistryError(f"plan={plan_id}: a {plan.kind} plan is promoted through its gate, not installed.")
    registry = Registry(context.settings)
    version = registered(registry, context, plan)
    refuse_aged(context, registry, version, plan.as_of)
    refuse_unfit(context, registry, version)
    registry.bootstrap(version, actor=actor)
    settle_offers(context, plan)
    return {"plan": plan_id, "champion": version}


def report_step(context: Context, plan_id: str, source_run: str) -> dict[str, Any]:
    """Write report.json and report.html, keep both in MLflow, and say in words what the approval asks."""
    plan = load_plan(context.settings, plan_id)
    gate = saved_verdict(context, plan)
    registry = Registry(context.settings)
    version = registered(registry, context, plan)
    report = gather(context, plan, gate, version=version, source_run=source_run)
    run_id = registry.version(version).run_id
    write_report(context, registry, report, run_id)
    registry.set_verdict(version, verdict=gate.verdict, report=plan.digest)
    return {
        "report": plan.digest,
        "verdict": gate.verdict,
        "version": version,
        "run_id": run_id,
        **request(plan, gate, version),
    }


def promote_step(
    context: Context, plan_id: str, actor: str, override_reason: str, *, barred: bool = False, as_of: date | None = None
) -> dict[str, Any]:
    """Move the champion alias to the plan's model.

    A daily update that does not pass is left where it is. Anything else that does not pass needs a reason, and an
    actor who is not `barred` from overriding. Raises RegistryError when the champion or the model is no longer what was
    judged, or does not load and score; TrainingError when on `as_of` (None: the plan's own) the oldest day that it has
    learned is older than a model may become, which no reason overrides.
    """
    plan = load_plan(context.settings, plan_id)
    gate = saved_verdict(context, plan)
    registry = Registry(context.settings)
    version = registered(registry, context, plan)
    digest = model_digest(model_folder(context, plan) / TRAINABLE)
    if gate.challenger_digest != Scorer.load(model_folder(context, plan) / BUNDLE, calibrated=True).digest:
        raise RegistryError(f"version={version}: the gate judged another model; run evaluate and gate-plan again.")
    if gate.verdict != "pass" and not override_reason.strip():
        if plan.kind == "incremental":
            return {"plan": plan_id, "skip": True, "reason": f"verdict is {gate.verdict}: the champion stays"}
        raise RegistryError(f"version={version}: verdict is {gate.verdict}; approving it needs an override reason.")
    if gate.verdict != "pass" and barred:
        raise RegistryError(
            f"version={version}: verdict is {gate.verdict}, and {actor} may not override it. Trigger a new run, and "
            "let somebody answer whom MMOE_OVERRIDE_ROLES or MMOE_OVERRIDE_USERS names."
        )
    refuse_aged(context, registry, version, as_of or plan.as_of)
    refuse_unfit(context, registry, version)
    reason = override_reason.strip() or f"{gate.profile} gate passed"
    record = registry.promote(
        version,
        expected_champion=plan.champion.version if plan.champion else None,
        digest=digest,
        actor=actor,
        reason=reason,
        report=plan.digest,
    )
    settle_offers(context, plan)
    state_decision(context, registry, record)
    return {
        "plan": plan_id, "champion": record.version, "replaces": record.replaces, "actor": actor, "reason": reason,
        "run_id": registry.version(version).run_id,
    }  # fmt: skip


def rollback_step(
    context: Context, *, to: str, expected_champion: str, actor: str, reason: str, as_of: date
) -> dict[str, Any]:
    """Make an earlier version champion again, once it has shown that it loads and scores.

    Empty `to`: the champion before. Empty `expected_champion`: whoever is champion now. Raises RegistryError, and
    TrainingError when on `as_of` the version is older than a model may become, unless the parameters allow just that.
    """
    registry = Registry(context.settings)
    champion = registry.alias("champion")
    expected = expected_champion or (champion.version if champion else "")
    target = to or registry.rollback_target(expected)
    if not context.params.retention.rollback_beyond_max_age:
        fix = "take a younger one, train a new one, or state retention.rollback_beyond_max_age: true in params.yaml"
        refuse_too_old(context, registry, registry.version(target), as_of, "become champion again", fix)
    refuse_unfit(context, registry, target)
    record = registry.rollback(expected_champion=expected, actor=actor, reason=reason, to=target)
    run_id = registry.version(target).run_id
    return {
        "champion": record.version, "replaces": record.replaces, "actor": actor, "reason": reason, "run_id": run_id,
    }  # fmt: skip


def refuse_aged(context: Context, registry: Registry, version: str, as_of: date) -> None:
    """Raises TrainingError beyond retention.max_model_age_days, from the oldest day that the weights have learned."""
    fix = "train a new one on younger days"
    refuse_too_old(context, registry, registry.version(version), as_of, "become champion", fix)


def refuse_unfit(context: Context, registry: Registry, version: str) -> SmokeTest:
    """Fetch the version's bundle from the registry, as a server would, and score with it.

    Raises RegistryError when it does not: whatever its verdict, such a version never becomes champion.
    """
    context.settings.work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=context.settings.work, prefix="smoke-") as folder:
        try:
            passed = smoke_test(registry.download(version, Path(folder) / "model") / BUNDLE)
        except MmoeError as error:
            raise RegistryError(f"version={version}: not fit to serve, so it stays where it is: {error}") from error
    digest = registry.version(version).digest
    if passed.model_digest != digest:
        raise RegistryError(
            f"version={version}: its bundle is of model {passed.model_digest[:12]}, registered was {digest[:12]}; "
            "train and register it again."
        )
    return passed


def write_report(context: Context, registry: Registry, report: Report, run_id: str) -> None:
    """The page, its data and its summary under HOME/reports, and the first two beside the model in MLflow."""
    folder = context.settings.reports / report.report
    folder.mkdir(parents=True, exist_ok=True)
    write_aside(folder / "report.html", render(report))
    write_aside(folder / "report.json", report.model_dump_json(indent=1))
    write_aside(folder / "summary.json", report.summary(run_id).model_dump_json(indent=1))
    registry.log_report(run_id, folder / "report.html", folder / "report.json")


def state_decision(context: Context, registry: Registry, record: PromotionRecord) -> None:
    """Write the report that was decided from again, with who decided, where there is one."""
    path = context.settings.reports / str(record.report) / "report.json"
    if path.exists():
        report = Report.model_validate_json(path.read_bytes()).model_copy(update={"decision": decision(record)})
        write_report(context, registry, report, registry.version(record.version).run_id)


def settle_offers(context: Context, plan: Plan) -> None:
    """Backfilled days that the new champion has learned are no longer offered for training."""
    seen = read_state(model_folder(context, plan) / TRAINABLE).days
    learned(context.store, [(each.day, each.digest) for each in seen])


def saved_verdict(context: Context, plan: Plan) -> GateResult:
    path = plan.folder(context.settings) / "gate.json"
    if not path.exists():
        raise EvaluationError(f"plan={plan.digest}: not judged yet; run `mmoe gate-plan --plan {plan.digest}`.")
    return GateResult.model_validate_json(path.read_bytes())


def request(plan: Plan, gate: GateResult, version: str) -> dict[str, str]:
    """Subject and body (markdown) of the approval."""
    headline = gate.lift()
    lift = "not measurable"
    if headline is not None and headline.lift is not None and headline.low is not None and headline.high is not None:
        lift = f"{headline.lift:+.2%} [{headline.low:+.2%}, {headline.high:+.2%}]"
    against = plan.baseline.version if plan.baseline else "none"
    open_points = [finding for finding in gate.findings if finding.verdict != "pass"]
    lines = [
        f"**Verdict: {gate.verdict}** (profile *{gate.profile}*)",
        f"Mean AUC lift of the primary heads over version {against}: **{lift}** on {gate.rows:,} held-out rows.",
        *(f"- {finding_text(finding)}" for finding in open_points[:MOST_REASONS]),
        *([f"- and {len(open_points) - MOST_REASONS} more in the report"] if len(open_points) > MOST_REASONS else []),
        f"[The whole report](/mmoe/reports/{plan.digest}) is also on this run's *Report* tab.",
    ]
    if gate.verdict != "pass":
        lines.append("Approving this needs an override reason, and somebody who may override; both are recorded.")
    return {"subject": f"Promote version {version}? {gate.verdict}, {lift}", "body": "\n\n".join(lines)}
