"""Commands that change who is champion, by version."""

from typing import Annotated

import typer

from mmoe.cli.common import finish
from mmoe.cli.governance import AsOf, today_in
from mmoe.steps.context import load_context

release = typer.Typer()


@release.command()
def promote(
    version: Annotated[str, typer.Argument(help="A registered version that the gate has judged.")],
    actor: Annotated[str, typer.Option(help="Who decides it.")],
    reason: Annotated[str, typer.Option(help="Why it should serve; recorded.")],
    override: Annotated[bool, typer.Option("--override", help="Promote it although it did not pass.")] = False,
    as_of: AsOf = None,
) -> None:
    """Make a judged version champion, if its digest and the champion are still those that were judged."""
    from mmoe.steps.versions import promote_version_step

    context = load_context()
    day = as_of or today_in(context)
    finish(promote_version_step(context, version, actor=actor, reason=reason, override=override, as_of=day))


@release.command()
def history() -> None:
    """Every change of the champion: who, when, why, from what to what."""
    from mmoe.steps.versions import history_step

    found = history_step(load_context())
    for change in found["changes"]:
        typer.echo(
            f"{change['at'][:19]}  {change['kind']:<9}  {change['state']:<6}  {change['replaces'] or '-'} -> "
            f"{change['version']}  {change['actor']}: {change['reason']}"
        )
    finish(found)


@release.command()
def rollback(
    actor: Annotated[str, typer.Option(help="Who decides it.")],
    reason: Annotated[str, typer.Option(help="What is wrong with the champion; recorded.")],
    to: Annotated[str, typer.Option(help="Any registered version; default: the champion before.")] = "",
    expected_champion: Annotated[str, typer.Option(help="Refuse if another version is champion by now.")] = "",
    as_of: AsOf = None,
) -> None:
    """Make an earlier version champion again, if it is not too old and has shown that it loads and scores."""
    from mmoe.steps.release import rollback_step

    context = load_context()
    day = as_of or today_in(context)
    finish(rollback_step(context, to=to, expected_champion=expected_champion, actor=actor, reason=reason, as_of=day))
