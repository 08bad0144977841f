"""Commands of experiments, which DVC runs: pin a window, plan on it, make a version again, metrics and plots."""

from pathlib import Path
from typing import Annotated

import typer

from mmoe.cli.common import AsOf, PlanId, finish
from mmoe.steps.context import load_context

experiments = typer.Typer()
Project = Annotated[Path, typer.Option("--project", help="The clone whose dvc.yaml is meant.")]


@experiments.command()
def pin(as_of: AsOf, project: Project = Path()) -> None:
    """Pin the published days and the champion for experiments: the DVC dataset `window`. Copies no row."""
    from mmoe.steps.pinning import pin_step

    finish(pin_step(load_context(), as_of, project))


@experiments.command()
def reproduce(
    version: Annotated[str, typer.Argument(help="A registered version's number, or its digest's first characters.")],
    project: Project = Path(),
) -> None:
    """Bring a version's parameters and window back, for `dvc repro` to make it again bit for bit."""
    from mmoe.steps.reproduction import reproduce_step

    finish(reproduce_step(load_context(), version, project))


@experiments.command()
def plots(
    plan_id: PlanId,
    folder: Annotated[Path, typer.Option(help="Where to write metrics.json, losses.csv and lifts.csv.")],
) -> None:
    """Metrics, loss curves and lifts of a plan, for DVC."""
    from mmoe.steps.experiment import plots_step

    finish(plots_step(load_context(), plan_id, folder))
