"""What commands share: parsing of dates and plans, and the closing JSON line."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer


def parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date; give YYYY-MM-DD") from None


def parse_plan(text: str) -> str:
    """A plan's digest, given as itself or as the JSON file that `mmoe plan … --save FILE` wrote."""
    path = Path(text)
    if path.suffix != ".json":
        return text
    try:
        return str(json.loads(path.read_text())["plan"])
    except (OSError, ValueError, KeyError, TypeError):
        raise typer.BadParameter(f"{text!r} holds no plan; write it with `mmoe plan … --save {text}`") from None


def parse_days(text: str) -> tuple[date, date]:
    first, _, last = text.partition(":")
    return parse_day(first), parse_day(last or first)


Day = Annotated[date, typer.Option("--date", parser=parse_day, metavar="YYYY-MM-DD", help="The day.")]
AsOf = Annotated[date, typer.Option("--as-of", parser=parse_day, metavar="YYYY-MM-DD", help="Look back from here.")]
PlanId = Annotated[
    str, typer.Option("--plan", parser=parse_plan, metavar="PLAN", help="A plan's digest, or the file it was saved to.")
]
Save = Annotated[Path | None, typer.Option("--save", help="Also write the result to this JSON file.")]


def finish(result: dict[str, Any], save: Path | None = None) -> None:
    """Print a result as a table for a person, then as the closing JSON line."""
    width = max((len(name) for name in result), default=0)
    for name, value in result.items():
        shown = value if isinstance(value, str | int | float) else json.dumps(value, default=str)
        typer.echo(f"{name:<{width}}  {shown}")
    closing = json.dumps(result, default=str)
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(closing + "\n")
    typer.echo(closing)
