"""The gate as a command for scripts: two score sets in, a verdict out."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mmoe.config import load_params
from mmoe.errors import EvaluationError
from mmoe.evaluate.verdict import GateResult, Lift
from mmoe.gate_config import GateConfig
from mmoe.settings import load_settings

gate = typer.Typer()
EXIT = {"pass": 0, "fail": 3, "inconclusive": 4}


def parse_names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_slices(text: str) -> dict[str, list[str]]:
    """`view_type=search|home_feed,hour` -> the values that must occur; none named: those found."""
    pairs = (name.partition("=") for name in parse_names(text))
    return {name: [value for value in values.split("|") if value] for name, _, values in pairs}


def gate_config() -> GateConfig:
    """The gate of params.yaml where there is one, else the defaults."""
    path = load_settings().params_file
    return load_params(path).gate if path.exists() else GateConfig()


@gate.command("gate")
def gate_command(
    champion: Annotated[str, typer.Argument(help="Score set: Parquet files or folders, separated by commas.")],
    challenger: Annotated[str, typer.Argument(help="The same of the model to judge.")],
    profile: Annotated[str, typer.Option(help="lift, parity, refresh, or another of gate.profiles.")] = "lift",
    slices: Annotated[
        str | None, typer.Option(help="Slice columns, as 'view_type=search|home_feed,hour'. Default: gate.slices.")
    ] = None,
    watch: Annotated[
        str, typer.Option(help="The same of columns on which it must only not be shown to be worse.")
    ] = "",
    cluster: Annotated[str | None, typer.Option(help="Column of users or requests. Default: group_id.")] = None,
    primary: Annotated[str, typer.Option(help="Heads to be proved. Default: all but the guardrails.")] = "",
    guardrail: Annotated[str, typer.Option(help="Heads that must only not be shown to be worse.")] = "",
    save: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
) -> None:
    """Judge a challenger by score sets alone. Exit code 0: pass, 3: fail, 4: inconclusive, 1: error, 2: usage."""
    from mmoe.evaluate.files import gate_files

    config = gate_config()
    if profile not in config.profiles:
        raise typer.BadParameter(f"profile {profile!r} is not in gate.profiles ({', '.join(config.profiles)})")
    result = gate_files(
        [Path(each) for each in parse_names(champion)],
        [Path(each) for each in parse_names(challenger)],
        profile=profile,
        config=config,
        slices=None if slices is None else parse_slices(slices),
        watched=parse_slices(watch),
        cluster=cluster,
        primary=parse_names(primary),
        guardrail=parse_names(guardrail),
    )
    show(result)
    closing = json.dumps(result.model_dump(mode="json"))
    if save is not None:
        write(save, closing)
    typer.echo(closing)
    raise typer.Exit(EXIT[result.verdict])


def write(path: Path, closing: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(closing + "\n")
    except OSError as error:
        raise EvaluationError(f"--save {path}: not written ({error.strerror}); give another place.") from error


def show(result: GateResult) -> None:
    """Lifts as a table, what objects, and the verdict."""
    rows: list[tuple[str, ...]] = [("", "AUC", "lift", "interval", "DeLong", "detects", "positives", "rows")]
    rows += [cells(lift) for lift in result.lifts]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        name, *others = (cell.ljust(width) if not column else cell.rjust(width)
                         for column, (cell, width) in enumerate(zip(row, widths, strict=True)))  # fmt: skip
        typer.echo("  ".join((name, *others)).rstrip())
    typer.echo()
    for finding in result.findings:
        if finding.verdict != "pass":
            typer.echo(
                f"{finding.verdict}: {finding.rule}{f' {finding.place}' if finding.place else ''}: {finding.reason}"
            )
    if result.unjudged:
        typer.echo(f"not judged, for it needs more than score sets: {', '.join(result.unjudged)}")
    needed = f"; about {result.rows_needed:,} rows would probably tell" if result.rows_needed else ""
    passed = sum(finding.verdict == "pass" for finding in result.findings)
    typer.echo(f"{result.verdict} ({result.profile}): {passed} of {len(result.findings)} rules hold on {result.rows:,} "
               f"rows{needed}")  # fmt: skip


def cells(lift: Lift) -> tuple[str, ...]:
    name = lift.place or "primary heads"
    counts = (f"{lift.positives:,}", f"{lift.rows:,}")
    if lift.lift is None or lift.low is None or lift.high is None or lift.delong is None or lift.detectable is None:
        return (name, "", "too few", "", "", "", *counts)
    return (
        name, f"{lift.champion_auc:.4f} > {lift.challenger_auc:.4f}", f"{lift.lift:+.3%}",
        f"{lift.low:+.3%} {lift.high:+.3%}", f"{lift.delong[0]:+.3%} {lift.delong[1]:+.3%}", f"{lift.detectable:.3%}",
        *counts,
    )  # fmt: skip
