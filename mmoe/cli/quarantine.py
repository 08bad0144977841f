"""Commands of the quarantine: what lies there, why, and its release by a person."""

from typing import Annotated

import typer

from mmoe.cli.common import Day, finish
from mmoe.steps.context import load_context

quarantine = typer.Typer(no_args_is_help=True, help="Days that did not pass validation: list, explain, release.")


@quarantine.command("list")
def quarantine_list(
    closed: Annotated[bool, typer.Option("--all", help="Also what a later publication has settled.")] = False,
) -> None:
    """Days in quarantine, and why."""
    from mmoe.steps.quarantine import list_step

    finish(list_step(load_context(), closed=closed))


@quarantine.command("show")
def quarantine_show(day: Day) -> None:
    """Every failed expectation of a day, with bounds and counts; never a row's value."""
    from mmoe.steps.quarantine import show_step

    finish(show_step(load_context(), day))


@quarantine.command("release")
def quarantine_release(
    day: Day,
    actor: Annotated[str, typer.Option("--actor", metavar="WHO", help="Who decides.")],
    reason: Annotated[str, typer.Option("--reason", metavar="WHY", help="Why the day may be used all the same.")],
) -> None:
    """Publish the quarantined rows as they are; the decision is recorded and flagged in every report."""
    from mmoe.steps.quarantine import release_step

    finish(release_step(load_context(), day, actor=actor, reason=reason))
