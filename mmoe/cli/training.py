"""Commands of models: plan, score, train, evaluate, gate, report, install, promote."""

import os
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmoe.cli.common import AsOf, MaybePlanId, PlanId, Save, finish, parse_day
from mmoe.steps.context import load_context

if TYPE_CHECKING:
    from mmoe.steps.context import Context
    from mmoe.train.distributed import Processes

    TrainStep = Callable[[Context, str, Processes], dict[str, Any]]

training = typer.Typer()
plan = typer.Typer(no_args_is_help=True, help="Fix everything a training run depends on.")
train = typer.Typer(no_args_is_help=True, help="Train what a plan says.")
training.add_typer(plan, name="plan")
training.add_typer(train, name="train")


@plan.command("bootstrap")
def plan_bootstrap(
    first: Annotated[date, typer.Option(parser=parse_day, help="First day to train on.")],
    last: Annotated[date, typer.Option(parser=parse_day, help="Last day to train on.")],
) -> None:
    """The first champion's days and parameters."""
    from mmoe.steps.planning import plan_bootstrap_step

    finish(plan_bootstrap_step(load_context(), first, last))


@plan.command("batch")
def plan_batch(
    as_of: AsOf,
    train_days: Annotated[int | None, typer.Option(min=1)] = None,
    catch_up_days: Annotated[int | None, typer.Option(min=0)] = None,
    holdout_days: Annotated[int | None, typer.Option(min=1)] = None,
    experts: Annotated[str, typer.Option(help="For example 'dcnv2, dcnv2, mlp'; default: params.yaml.")] = "",
    distillation: Annotated[str, typer.Option(help="on or off; default: params.yaml.")] = "",
    profile: Annotated[str, typer.Option(help="Gate profile.")] = "lift",
    save: Save = None,
) -> None:
    """A challenger's days, champion and parameters."""
    from mmoe.steps.planning import BatchChoices, plan_batch_step

    choices = BatchChoices(
        train_days=train_days, catch_up_days=catch_up_days, holdout_days=holdout_days, experts=experts,
        distillation=distillation, profile=profile,
    )  # fmt: skip
    finish(plan_batch_step(load_context(), as_of, choices), save)


@plan.command("incremental")
def plan_incremental(day: Annotated[date, typer.Option("--day", parser=parse_day)]) -> None:
    """The champion's next days, up to DAY."""
    from mmoe.steps.planning import plan_incremental_step

    finish(plan_incremental_step(load_context(), day))


@plan.command("pinned")
def plan_pinned(
    lock: Annotated[Path, typer.Option(help="The dvc.lock whose dataset `window` is meant.")] = Path("dvc.lock"),
    params: Annotated[Path, typer.Option(help="What to train.")] = Path("params.yaml"),
    save: Save = None,
) -> None:
    """An experiment on the pinned window; it is logged, but never registered."""
    from mmoe.steps.pinning import plan_pinned_step

    finish(plan_pinned_step(load_context(params), lock), save)


@training.command()
def score(plan_id: PlanId, save: Save = None) -> None:
    """The teacher's score sets on a plan's training days."""
    from mmoe.steps.training import score_teacher_step

    finish(score_teacher_step(load_context(), plan_id), save)


@train.command("batch")
def train_batch(plan_id: PlanId, save: Save = None) -> None:
    """The plan's training days, with distillation if it says so."""
    from mmoe.steps.training import train_batch_step

    in_processes(train_batch_step, plan_id, save)


@train.command("incremental")
def train_incremental(plan_id: PlanId, save: Save = None) -> None:
    """The plan's catch-up days, in order, without distillation; registers the result."""
    from mmoe.steps.training import train_incremental_step

    in_processes(train_incremental_step, plan_id, save)


def in_processes(step: "TrainStep", plan_id: str, save: Path | None) -> None:
    """Run the step in as many processes as the settings ask for, or as made the version that is made again, unless
    torchrun already runs this one: the first of them tells the result. torchrun takes this process's place, so whoever
    stops this one stops them all.
    """
    from mmoe.steps.plan import load_plan
    from mmoe.steps.remaking import processes as wanted
    from mmoe.train.distributed import LAUNCHER, processes

    context = load_context()
    count, shard_rows = wanted(context, load_plan(context.settings, plan_id))
    if count > 1 and "WORLD_SIZE" not in os.environ:
        os.environ[LAUNCHER] = str(os.getpid())
        torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m", "mmoe"]
        os.execv(sys.executable, [sys.executable, "-m", *torchrun, *sys.argv[1:]])  # noqa: S606
    with processes(shard_rows) as group:
        result = step(context, plan_id, group)
    if group.leads:
        finish(result, save)


@training.command()
def install(plan_id: PlanId, actor: Annotated[str, typer.Option(help="Who installs it.")] = "shell") -> None:
    """Register a bootstrap plan's model and make it the first champion."""
    from mmoe.steps.release import install_step

    finish(install_step(load_context(), plan_id, actor))


@training.command()
def evaluate(plan_id: PlanId, save: Save = None) -> None:
    """Score the held-out days with baseline and challenger; time both precisions."""
    from mmoe.steps.evaluation import evaluate_step

    finish(evaluate_step(load_context(), plan_id), save)


@training.command("gate-plan")
def gate_plan(plan_id: PlanId, save: Save = None) -> None:
    """Judge a plan's challenger. A fail is a result: the exit code is 0."""
    from mmoe.steps.judging import gate_step

    finish(gate_step(load_context(), plan_id), save)


@training.command()
def report(
    version: Annotated[str | None, typer.Argument(help="Make this version's report anew.")] = None,
    plan_id: MaybePlanId = None,
    source_run: Annotated[str, typer.Option(help="The Airflow run.")] = "shell",
) -> None:
    """Make a version's report anew, JSON and HTML; or, with --plan, write that of a plan's challenger."""
    if (version is None) == (plan_id is None):
        raise typer.BadParameter("give a version, or --plan")
    if version is not None:
        from mmoe.steps.versions import report_version_step

        finish(report_version_step(load_context(), version))
        return
    from mmoe.steps.release import report_step

    finish(report_step(load_context(), str(plan_id), source_run))


@training.command("promote-plan")
def promote_plan(
    plan_id: PlanId,
    actor: Annotated[str, typer.Option(help="Who approved it.")],
    override_reason: Annotated[str, typer.Option(help="Why anything but a pass is promoted.")] = "",
    barred: Annotated[bool, typer.Option("--barred", help="The actor may not promote anything but a pass.")] = False,
    as_of: Annotated[
        date | None, typer.Option(parser=parse_day, help="Day on which the model's age is taken; default: the plan's.")
    ] = None,
) -> None:
    """Make a plan's challenger the champion, if the gate, the digest and the champion still allow it."""
    from mmoe.steps.release import promote_step

    finish(promote_step(load_context(), plan_id, actor, override_reason, barred=barred, as_of=as_of))
