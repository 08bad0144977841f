"""Commands about models that train nothing: what one costs, and how fast its parts are on this machine."""

from enum import StrEnum
from typing import Annotated

import typer

from mmoe.cli.common import finish
from mmoe.steps.context import load_context

models = typer.Typer()
model = typer.Typer(no_args_is_help=True, help="What the declared models cost.")
models.add_typer(model, name="model")


class Which(StrEnum):
    MODEL = "model"
    BASELINE = "baseline"


@model.command()
def describe(
    which: Annotated[Which, typer.Argument(help="Of params.yaml.")] = Which.MODEL,
    experts: Annotated[str, typer.Option(help="Other experts: 'dcnv2, dcnv2, mlp'.")] = "",
) -> None:
    """Parameters and FLOPs of every part, and the gates' share of both."""
    from mmoe.steps.describing import describe_model

    parts, result = describe_model(load_context(), which.value, experts)
    totals = sum(part.parameters for part in parts), sum(part.flops for part in parts)
    typer.echo(f"{'part':<20}{'parameters':>14}{'share':>9}{'FLOPs a row':>14}{'share':>9}")
    for part in parts:
        shares = part.parameters / totals[0], part.flops / totals[1]
        typer.echo(f"{part.part:<20}{part.parameters:>14,}{shares[0]:>9.2%}{part.flops:>14,}{shares[1]:>9.2%}")
    finish(result)


@model.command()
def benchmark(
    rows: Annotated[int, typer.Option(min=1, help="Rows a batch.")] = 1024,
    rounds: Annotated[int, typer.Option(min=1, help="Paired timings.")] = 30,
) -> None:
    """Time the experts beside one matrix product of their size, and each distillation loss beside a training step."""
    from mmoe.steps.describing import benchmark_model

    rates, losses = benchmark_model(load_context(), rows, rounds)
    columns = ("forward_rate", "training_rate", "forward_over_loop", "training_over_loop")
    typer.echo(f"{'experts':<16}{'features':>9}{'GFLOP':>8}" + "".join(f"{name:>20}" for name in columns))
    for rate in rates:
        values = "".join(f"{getattr(rate, name):>20.2f}" for name in columns)
        typer.echo(f"{rate.experts:<16}{rate.features:>9}{rate.gflop:>8.2f}{values}")
    typer.echo(f"\n{'loss, all heads':<20}{'ms':>8}{'of a step':>11}")
    for loss in losses:
        typer.echo(f"{loss.loss:<20}{loss.milliseconds:>8.2f}{loss.share:>11.1%}")
    finish({"experts": [rate.model_dump() for rate in rates], "losses": [loss.model_dump() for loss in losses]})
