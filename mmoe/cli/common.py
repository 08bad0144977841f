"""What commands share: parsing of dates and plans, and the closing JSON line."""

import json
from collections.abc import Iterator
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
MaybePlanId = Annotated[
    str | None, typer.Option("--plan", parser=parse_plan, metavar="PLAN", help="A plan's digest, or its saved file.")
]
Save = Annotated[Path | None, typer.Option("--save", help="Also write the result to this JSON file.")]


def finish(result: dict[str, Any], save: Path | None = None) -> None:
    """Print a result as a table for a person, lists of rows as tables of their own, then as the closing JSON line."""
    tables = {name: value for name, value in result.items() if is_table(value)}
    width = max((len(name) for name in result), default=0)
    for name, value in result.items():
        if name not in tables:
            shown = value if isinstance(value, str | int | float) else json.dumps(value, default=str)
            typer.echo(f"{name:<{width}}  {shown}")
    for name, rows in tables.items():
        typer.echo(f"\n{name}")
        for line in table_lines(rows):
            typer.echo(f"  {line}")
    closing = json.dumps(result, default=str)
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(closing + "\n")
    typer.echo(closing)


def is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def table_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Columns as wide as their widest cell; numbers to the right."""
    names = list(rows[0])
    cells = [names, *(["-" if row.get(name) is None else str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    right = [all(isinstance(row.get(name), int | float) for row in rows) for name in names]
    for line in cells:
        aligned = zip(line, widths, right, strict=True)
        padded = [cell.rjust(width) if number else cell.ljust(width) for cell, width, number in aligned]
        yield "  ".join(padded).rstrip()
