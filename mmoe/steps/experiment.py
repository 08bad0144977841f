"""What an experiment tracker compares and plots: metrics, loss curves and lifts, without a row of data."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmoe.evaluate.measure import all_metrics
from mmoe.evaluate.verdict import GateResult, slice_name
from mmoe.steps.context import Context
from mmoe.steps.curves import curve_points, curves
from mmoe.steps.evaluation import challenger_scores, mlflow_name
from mmoe.steps.models import TRAINABLE, model_folder
from mmoe.steps.plan import load_plan
from mmoe.steps.release import saved_verdict
from mmoe.train.state import read_state


def plots_step(context: Context, plan_id: str, folder: Path) -> dict[str, Any]:
    """Write metrics.json (verdict; AUC and lift per head and slice), losses.csv (loss, rows, value) and lifts.csv (a
    lift a row, with its interval) into `folder`."""
    plan = load_plan(context.settings, plan_id)
    folder.mkdir(parents=True, exist_ok=True)
    losses = curves(curve_points(read_state(model_folder(context, plan) / TRAINABLE)))
    points = [
        (name, rows, value) for name, curve in losses.items() if name.startswith("loss/") for rows, value in curve
    ]
    write_csv(folder / "losses.csv", ("loss", "rows", "value"), points)
    gate = saved_verdict(context, plan)
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
        for lift in gate.lifts
    ]
    write_csv(folder / "lifts.csv", ("head", "slice_by", "slice", "lift", "low", "high", "rows"), lifts)
    aucs = {(each.head, mlflow_name(each)): each.auc for each in all_metrics(challenger_scores(context, plan))}
    (folder / "metrics.json").write_text(json.dumps(metrics(gate, aucs), indent=1) + "\n")
    return {"plan": plan_id, "points": len(points), "lifts": len(lifts)}


def metrics(gate: GateResult, aucs: dict[tuple[str, str], float | None]) -> dict[str, Any]:
    """Nested by name, head and slice, as `dvc metrics` and `dvc exp show` lay out their columns."""
    found: dict[str, Any] = {"verdict": gate.verdict, "auc": {}, "lift": {}}
    for (head, place), auc in aucs.items():
        found["auc"].setdefault(head, {})[place] = auc
    for lift in gate.lifts:
        place = slice_name(lift.slice_by, lift.slice) or "all"
        found["lift"].setdefault(lift.head or "primary", {})[place] = lift.lift
    return found


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
