"""Commands of governance: retention plan, apply and audit; legal holds."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from mmoe.cli.common import finish, parse_day
from mmoe.steps.context import Context, load_context

governance = typer.Typer()
retention = typer.Typer(no_args_is_help=True, help="Expire old rows everywhere a copy lives, and prove it.")
hold = typer.Typer(no_args_is_help=True, help="Legal holds: days that retention must not delete.")
governance.add_typer(retention, name="retention")
governance.add_typer(hold, name="hold")

AsOf = Annotated[
    date | None,
    typer.Option("--as-of", parser=parse_day, metavar="YYYY-MM-DD", help="Look back from here. Default: today."),
]
Actor = Annotated[str, typer.Option(help="Who does it; the ledger keeps it.")]


@retention.command("plan")
def retention_plan(as_of: AsOf = None) -> None:
    """Show what would expire, where, what holds block, and which models have learned it; delete nothing."""
    from mmoe.steps.governance import retention_plan_step

    context = load_context()
    today = today_in(context)
    finish(retention_plan_step(context, as_of or today, today))


@retention.command("apply")
def retention_apply(
    as_of: AsOf = None,
    yes: Annotated[bool, typer.Option("--yes", help="Allow more than retention.max_share to be deleted.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing.")] = False,
    actor: Actor = "shell",
) -> None:
    """Tombstone, delete, list again, write the ledger."""
    from mmoe.steps.governance import retention_apply_step

    context = load_context()
    today = today_in(context)
    confirmed_by = actor if yes else None
    finish(retention_apply_step(context, as_of or today, today, confirmed_by=confirmed_by, dry_run=dry_run))


@retention.command("audit")
def retention_audit(as_of: AsOf = None) -> None:
    """Walk every store; prove that nothing behind the horizon is readable and that the ledger is whole."""
    from mmoe.steps.governance import retention_audit_step

    context = load_context()
    finish(retention_audit_step(context, as_of or today_in(context)))


@hold.command("add")
def hold_add(
    first: Annotated[date, typer.Option("--from", parser=parse_day, metavar="YYYY-MM-DD", help="First day held.")],
    last: Annotated[date, typer.Option("--to", parser=parse_day, metavar="YYYY-MM-DD", help="Last day held.")],
    owner: Annotated[str, typer.Option(help="Who answers for it.")],
    reason: Annotated[str, typer.Option(help="Why; kept beside the hold, never in the ledger.")],
    until: Annotated[
        date, typer.Option(parser=parse_day, metavar="YYYY-MM-DD", help="Last as-of date on which it blocks.")
    ],
    view_type: Annotated[str | None, typer.Option(help="Hold only rows of this view type.")] = None,
    actor: Actor = "shell",
) -> None:
    """Keep what the hold covers, unreadable, when its days expire."""
    from mmoe.steps.governance import hold_add_step

    span = (first, last)
    finish(
        hold_add_step(
            load_context(), span=span, view_type=view_type, owner=owner, reason=reason, until=until, actor=actor
        )
    )


@hold.command("list")
def hold_list(as_of: AsOf = None) -> None:
    """Every hold, and which of them block."""
    from mmoe.steps.governance import hold_list_step

    context = load_context()
    finish(hold_list_step(context, as_of or today_in(context)))


@hold.command("end")
def hold_end(hold_id: Annotated[str, typer.Argument(metavar="HOLD")], actor: Actor = "shell") -> None:
    """End a hold before its time."""
    from mmoe.steps.governance import hold_end_step

    finish(hold_end_step(load_context(), hold_id, actor))


def today_in(context: Context) -> date:
    """The only look at the clock: a default for a person, and a guard against as-of dates in the future."""
    from mmoe.steps.governance import today_of

    return today_of(context.schema, datetime.now(UTC))
