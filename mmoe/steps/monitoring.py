"""Steps that watch the champion: test it on each fresh day before it learns it, and raise alarms."""

from datetime import date
from typing import Any

from mmoe.data.scores import read_scores
from mmoe.errors import MonitoringError, TrainingError
from mmoe.evaluate.measure import all_metrics
from mmoe.evaluate.monitor import MonitoredDay, histograms, watch
from mmoe.lake.reader import published_days
from mmoe.registry import Registry
from mmoe.registry.monitored import Monitored
from mmoe.serve.scorer import Scorer
from mmoe.steps.context import Context
from mmoe.steps.models import BUNDLE, version_folder
from mmoe.steps.plan import DayRef, ModelRef, load_plan
from mmoe.steps.scoring import score_day


def monitor_step(context: Context, plan_id: str) -> dict[str, Any]:
    """Score the plan's fresh days with its champion, before training, and keep what that says of each day."""
    plan = load_plan(context.settings, plan_id)
    if plan.champion is None or plan.train_days:
        raise TrainingError(f"plan={plan_id}: a {plan.kind} plan updates no champion; give an incremental plan.")
    scorer = Scorer.load(
        version_folder(context, plan.champion) / BUNDLE, threads=context.settings.threads, calibrated=True
    )
    monitored = Monitored(context.settings)
    for ref in plan.catch_up_days:
        known = monitored.read_day(ref.day)
        if known is None or (known.digest, known.partition) != (plan.champion.digest, ref.digest):
            monitored.write(monitored_day(context, scorer, plan.champion, ref))
    newest = monitored.read_day(plan.catch_up_days[-1].day)
    overall = [] if newest is None else [each for each in newest.metrics if each.slice is None]
    return {
        "plan": plan_id,
        "version": plan.champion.version,
        "days": [str(ref.day) for ref in plan.catch_up_days],
        "auc": {each.head: round(each.auc, 5) for each in overall if each.auc is not None},
        "calibration": {each.head: round(each.calibration, 4) for each in overall if each.calibration is not None},
    }


def monitored_day(context: Context, scorer: Scorer, champion: ModelRef, ref: DayRef) -> MonitoredDay:
    scores = read_scores([score_day(context, scorer, ref)])
    return MonitoredDay(
        day=ref.day,
        version=champion.version,
        digest=champion.digest,
        partition=ref.digest,
        learned_through=champion.trained_through,
        rows=scores.rows,
        metrics=tuple(all_metrics(scores)),
        histograms=histograms(scores),
    )


def watch_step(context: Context, as_of: date) -> dict[str, Any]:
    """Look for a stale champion, missed days, calibration and drift. Raises MonitoringError that names each alarm."""
    champion = Registry(context.settings).alias("champion")
    monitored = Monitored(context.settings)
    found = watch(
        as_of,
        learned_through=champion.trained_through if champion else None,
        published=published_days(context.store),
        monitored=monitored.read(),
        config=context.params.monitor,
    )
    monitored.write_watch(found)
    if found.alarms:
        raise MonitoringError(f"as_of={as_of}: " + "; ".join(alarm.text for alarm in found.alarms))
    return {"as_of": str(as_of), "champion": champion.version if champion else None, "alarms": 0}
