"""What an experiment tracker plots: a plan's loss curves and lifts, as CSV files without a row of data."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmoe.steps.context import Context
from mmoe.steps.models import TRAINABLE, model_folder
from mmoe.steps.plan import load_plan
from mmoe.steps.release import saved_verdict
from mmoe.steps.training import curves
from mmoe.train.state import read_state


def plots_step(context: Context, plan_id: str, folder: Path) -> dict[str, Any]:
    """Write losses.csv (loss, rows, value) and lifts.csv (a lift a row, with its interval) into `folder`."""
    plan = load_plan(context.settings, plan_id)
    folder.mkdir(parents=True, exist_ok=True)
    losses = curves(read_state(model_folder(context, plan) / TRAINABLE))
    points = [
        (name, rows, value) for name, curve in losses.items() if name.startswith("loss/") for rows, value in curve
    ]
    write_csv(folder / "losses.csv", ("loss", "rows", "value"), points)
    lifts = [
        (
            lift.head or "primary heads",
            lift.slice_by or "",
            lift.slice or "all",
            lift.lift,
            lift.low,
            lift.high,
            lift.rows,
        )
        for lift in saved_verdict(context, plan).lifts
    ]
    write_csv(folder / "lifts.csv", ("head", "slice_by", "slice", "lift", "low", "high", "rows"), lifts)
    return {"plan": plan_id, "points": len(points), "lifts": len(lifts)}


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
