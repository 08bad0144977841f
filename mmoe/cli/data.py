"""Commands of the data plane: deliver, ingest, validate, publish, mature."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from mmoe.cli.common import AsOf, Day, finish, parse_day, parse_days
from mmoe.steps.context import load_context

data = typer.Typer()


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
def ingest(
    day: Day,
    as_of: Annotated[
        date | None, typer.Option("--as-of", parser=parse_day, help="Labels final at its start. Default: the next day.")
    ] = None,
) -> None:
    """Landing files of a day → staged partition."""
    from mmoe.steps.data import ingest_step

    finish(ingest_step(load_context(), day, as_of))


@data.command()
def mature(as_of: AsOf) -> None:
    """Publish anew the days that late rows, or labels final by now, have come for."""
    from mmoe.steps.data import mature_step

    finish(mature_step(load_context(), as_of))


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

    finish(offer_training_step(load_context(), day, source_run))
