"""One command a pipeline step: what the DAGs, dvc.yaml and a person at a shell all call.

Every command prints for a person and ends with one JSON line. Exit 0: done. 1: refused or failed, the reason on stderr.
2: usage.
"""

import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from mmoe.errors import MmoeError
from mmoe.steps.context import load_context

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="The steps of mmoe.")
retention = typer.Typer(no_args_is_help=True, help="Expire old partitions everywhere a copy lives, and prove it.")
plan = typer.Typer(no_args_is_help=True, help="Fix everything a training run depends on.")
train = typer.Typer(no_args_is_help=True, help="Train what a plan says.")
app.add_typer(retention, name="retention")
app.add_typer(plan, name="plan")
app.add_typer(train, name="train")


def parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date; give YYYY-MM-DD") from None


Day = Annotated[date, typer.Option("--date", parser=parse_day, metavar="YYYY-MM-DD", help="The day.")]
AsOf = Annotated[date, typer.Option("--as-of", parser=parse_day, metavar="YYYY-MM-DD", help="Look back from here.")]
PlanId = Annotated[str, typer.Option("--plan", help="A plan's digest.")]


def finish(result: dict[str, Any]) -> None:
    """Print a result as a table for a person, then as the closing JSON line."""
    width = max((len(name) for name in result), default=0)
    for name, value in result.items():
        typer.echo(
            f"{name:<{width}}  {value if isinstance(value, (str, int, float)) else json.dumps(value, default=str)}"
        )
    typer.echo(json.dumps(result, default=str))


@app.command()
def deliver(data: Path, dates: Annotated[str, typer.Option(help="FIRST:LAST; default all days.")] = "") -> None:
    """Bring raw files of a data folder into the landing zone, by day."""
    from mmoe.steps.data import deliver_step

    finish(deliver_step(load_context(), data, dates_between(dates)))


def dates_between(text: str) -> Callable[[date], bool] | None:
    if not text:
        return None
    first, _, last = text.partition(":")
    low, high = parse_day(first), parse_day(last or first)
    return lambda day: low <= day <= high


@app.command()
def ingest(day: Day) -> None:
    """Landing files of a day → staged partition."""
    from mmoe.steps.data import ingest_step

    finish(ingest_step(load_context(), day))


@app.command()
def validate(day: Day) -> None:
    """Check a staged day; quarantine it if a critical expectation fails."""
    from mmoe.steps.data import validate_step

    finish(validate_step(load_context(), day))


@app.command()
def publish(day: Day) -> None:
    """Staged and validated day → lake."""
    from mmoe.steps.data import publish_step

    finish(publish_step(load_context(), day))


@app.command("offer-training")
def offer_training(
    day: Day, source_run: Annotated[str, typer.Option(help="The Airflow run that published it.")]
) -> None:
    """Say whether a published day may start incremental training."""
    from mmoe.steps.data import offer_training_step

    finish(offer_training_step(day, source_run))


@retention.command("plan")
def retention_plan(as_of: AsOf) -> None:
    """Show what would expire; delete nothing."""
    from mmoe.steps.governance import retention_plan_step

    finish(retention_plan_step(load_context(), as_of))


@retention.command("apply")
def retention_apply(
    as_of: AsOf,
    yes: Annotated[bool, typer.Option("--yes", help="Allow more than retention.max_share to be deleted.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing.")] = False,
) -> None:
    """Tombstone, delete, list again, write the ledger."""
    from mmoe.steps.governance import retention_apply_step

    finish(retention_apply_step(load_context(), as_of, confirmed=yes, dry_run=dry_run))


@retention.command("audit")
def retention_audit(as_of: Annotated[date | None, typer.Option("--as-of", parser=parse_day)] = None) -> None:
    """Prove that nothing behind the horizon is readable and that the ledger is whole."""
    from mmoe.steps.governance import retention_audit_step

    finish(retention_audit_step(load_context(), as_of))


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
) -> None:
    """A challenger's days, champion and parameters."""
    from mmoe.steps.planning import BatchChoices, plan_batch_step

    choices = BatchChoices(
        train_days=train_days, catch_up_days=catch_up_days, holdout_days=holdout_days, experts=experts,
        distillation=distillation, profile=profile,
    )  # fmt: skip
    finish(plan_batch_step(load_context(), as_of, choices))


@plan.command("incremental")
def plan_incremental(day: Annotated[date, typer.Option("--day", parser=parse_day)]) -> None:
    """The champion's next days, up to DAY."""
    from mmoe.steps.planning import plan_incremental_step

    finish(plan_incremental_step(load_context(), day))


@app.command()
def score(plan_id: PlanId) -> None:
    """The teacher's score sets on a plan's training days."""
    from mmoe.steps.training import score_teacher_step

    finish(score_teacher_step(load_context(), plan_id))


@train.command("batch")
def train_batch(plan_id: PlanId) -> None:
    """The plan's training days, with distillation if it says so."""
    from mmoe.steps.training import train_batch_step

    finish(train_batch_step(load_context(), plan_id))


@train.command("incremental")
def train_incremental(plan_id: PlanId) -> None:
    """The plan's catch-up days, in order, without distillation; registers the result."""
    from mmoe.steps.training import train_incremental_step

    finish(train_incremental_step(load_context(), plan_id))


@app.command()
def install(plan_id: PlanId, actor: Annotated[str, typer.Option(help="Who installs it.")] = "shell") -> None:
    """Register a bootstrap plan's model and make it the first champion."""
    from mmoe.steps.release import install_step

    finish(install_step(load_context(), plan_id, actor))


@app.command()
def evaluate(plan_id: PlanId) -> None:
    """Score the held-out days with baseline and challenger; time both precisions."""
    from mmoe.steps.evaluation import evaluate_step

    finish(evaluate_step(load_context(), plan_id))


@app.command("gate-plan")
def gate_plan(plan_id: PlanId) -> None:
    """Judge a plan's challenger. A fail is a result: the exit code is 0."""
    from mmoe.steps.evaluation import gate_step

    finish(gate_step(load_context(), plan_id))


@app.command()
def report(plan_id: PlanId, source_run: Annotated[str, typer.Option(help="The Airflow run.")] = "shell") -> None:
    """Write the promotion report."""
    from mmoe.steps.release import report_step

    finish(report_step(load_context(), plan_id, source_run))


@app.command("promote-plan")
def promote_plan(
    plan_id: PlanId,
    actor: Annotated[str, typer.Option(help="Who approved it.")],
    override_reason: Annotated[str, typer.Option(help="Why anything but a pass is promoted.")] = "",
) -> None:
    """Make a plan's challenger the champion, if the gate, the digest and the champion still allow it."""
    from mmoe.steps.release import promote_step

    finish(promote_step(load_context(), plan_id, actor, override_reason))


def main() -> None:
    """Run a command; errors go to stderr in one line, and to the closing JSON line for whoever scripts it."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        app(standalone_mode=False)
    except MmoeError as error:
        fail(str(error), type(error).__name__, 1)
    except typer.Exit as request:
        sys.exit(request.exit_code)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        fail(error.format_message(), "UsageError", 2)


def fail(message: str, kind: str, code: int) -> None:
    print(f"mmoe: {message}", file=sys.stderr)  # noqa: T201
    typer.echo(json.dumps({"error": message, "kind": kind}))
    sys.exit(code)
