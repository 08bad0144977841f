"""Commands that change who is champion, by version."""

from typing import Annotated

import typer

from mmoe.cli.common import finish
from mmoe.steps.context import load_context

release = typer.Typer()


@release.command()
def rollback(
    actor: Annotated[str, typer.Option(help="Who decides it.")],
    reason: Annotated[str, typer.Option(help="What is wrong with the champion; recorded.")],
    to: Annotated[str, typer.Option(help="Any registered version; default: the champion before.")] = "",
    expected_champion: Annotated[str, typer.Option(help="Refuse if another version is champion by now.")] = "",
) -> None:
    """Make an earlier version champion again, once it has shown that it loads and scores."""
    from mmoe.steps.release import rollback_step

    finish(rollback_step(load_context(), to=to, expected_champion=expected_champion, actor=actor, reason=reason))
