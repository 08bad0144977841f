"""Commands of the data plane: deliver, ingest, validate, publish, retention."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from mmoe.cli.common import AsOf, Day, finish, parse_day, parse_days
from mmoe.steps.context import load_context

data = typer.Typer()
retention = typer.Typer(no_args_is_help=True, help="Expire old partitions everywhere a copy lives, and prove it.")
data.add_typer(retention, name="retention")


@data.command()
def deliver(
    folder: Path,
    dates: Annotated[
        tuple[date, date] | None, typer.Option(parser=parse_days, metavar="FIRST:LAST", help="Default: all.")
    ] = None,
) -> None:
    """Bring raw files of a data folder into the landing zone, by day."""
    from mmoe.steps.data import deliver_step

    finish(deliver_step(load_context(), folder, dates))


@data.command()
def ingest(day: Day) -> None:
    """Landing files of a day → staged partition."""
    from mmoe.steps.data import ingest_step

    finish(ingest_step(load_context(), day))


@data.command()
def validate(day: Day) -> None:
    """Check a staged day; quarantine it if a critical expectation fails."""
    from mmoe.steps.data import validate_step

    finish(validate_step(load_context(), day))


@data.command()
def publish(day: Day) -> None:
    """Staged and validated day → lake."""
    from mmoe.steps.data import publish_step

    finish(publish_step(load_context(), day))


@data.command("offer-training")
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
