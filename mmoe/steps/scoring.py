"""Which rows a plan learns, judges and calibrates on, and the score sets made of them."""

from collections.abc import Sequence
from pathlib import Path

import typer

from mmoe.data.hashing import GroupShare
from mmoe.data.scores import read_day_scores
from mmoe.evaluate.calibration import Calibrator, fit_calibrator
from mmoe.quality import verify_scores
from mmoe.serve.scorer import Scorer
from mmoe.steps.context import Context
from mmoe.steps.models import keep_scores, open_day
from mmoe.steps.plan import DayRef, Plan
from mmoe.steps.remaking import threads
from mmoe.train.passes import HeldOut
from mmoe.train.spec import given


def newest_learned(plan: Plan) -> DayRef:
    return (*plan.train_days, *plan.catch_up_days)[-1]


def holdout_share(plan: Plan, *, keep: bool) -> GroupShare | None:
    """The groups of the newest day that a daily update does not train on, for its gate (keep=True: only they)."""
    if plan.holdout_share is None:
        return None
    return GroupShare(salt=str(plan.holdout_days[-1].day), share=plan.holdout_share, keep=keep)


def calibration_share(plan: Plan, *, keep: bool) -> GroupShare | None:
    """The groups of the newest learned day that training leaves out for the calibrator (keep=True: only they)."""
    config = plan.params.calibration
    if config.kind == "none":
        return None
    return GroupShare(salt=f"calibration {newest_learned(plan).day}", share=config.share, keep=keep)


def held_out(context: Context, plan: Plan) -> HeldOut | None:
    """What a batch training's passes are judged on, none of what the gate will judge: the first day that is learned
    after it, or else the rows that are left out for the calibrator.
    """
    if plan.params.train.patience is None:
        return None
    if plan.catch_up_days:
        return HeldOut(partition=open_day(context, plan.catch_up_days[0]))
    share = calibration_share(plan, keep=True)
    return None if share is None else HeldOut(partition=open_day(context, newest_learned(plan)), groups=(share,))


def judged_groups(plan: Plan) -> tuple[GroupShare, ...]:
    """What limits the held-out days to rows that the challenger has not learned."""
    return given(holdout_share(plan, keep=True))


def fitted_calibrator(context: Context, plan: Plan, trainable: Path) -> Calibrator | None:
    """The calibrator of the plan's model, fitted on rows that were neither learned nor will be judged on."""
    share = calibration_share(plan, keep=True)
    if share is None:
        return None
    scorer = Scorer.of_trainable(trainable, threads=threads(context, plan))
    groups = given(holdout_share(plan, keep=False), share)
    path = score_day(context, scorer, newest_learned(plan), groups=groups)
    return fit_calibrator(read_day_scores(path), context.schema.view_type.names, plan.params.calibration)


def score_day(context: Context, scorer: Scorer, ref: DayRef, *, groups: Sequence[GroupShare] = ()) -> Path:
    """The scorer's score set of a day. The name holds the partition's digest and that of the schema's slices: a day
    published anew, or cut otherwise, is scored anew."""
    limits = "".join(f"-{'of' if share.keep else 'but'}-{share.share:g}" for share in groups)
    cut = f"-by-{context.schema.slices_digest[:8]}" if context.schema.slices else ""
    name = f"{scorer.digest}-{ref.digest[:12]}{limits}{cut}"

    def write(path: Path) -> None:
        partition = open_day(context, ref)
        scorer.score_partition(partition, path, groups=groups, schema=context.schema)
        verify_scores(context.store, context.schema, path, partition=partition, name=name, whole=not groups)
        typer.echo(f"scored {ref.day}")

    return keep_scores(context, ref.day, name, write)
