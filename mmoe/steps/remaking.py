"""What training does differently when it makes a registered version again, or when it is an experiment."""

from typing import Any

from mmoe.errors import TrainingError
from mmoe.steps.context import Context
from mmoe.steps.plan import Original, Plan
from mmoe.steps.provenance import Provenance, provenance
from mmoe.train.distributed import Processes
from mmoe.train.spec import TrainResult


def threads(context: Context, plan: Plan) -> int:
    """As many as the original was made with: another number sums in another order."""
    return plan.original.made_by.threads if plan.original else context.settings.threads


def processes(context: Context, plan: Plan) -> tuple[int, int]:
    """How many, and the rows from which tables are shared out over them: as the original was made, too."""
    made_by = plan.original.made_by if plan.original else None
    settings = context.settings
    return (made_by.processes, made_by.shard_rows) if made_by else (settings.train_processes, settings.shard_rows)


def confirm(context: Context, original: Original, result: TrainResult, group: Processes) -> dict[str, Any]:
    """That the reproduction is the original, bit for bit. Raises TrainingError with all that differs."""
    if result.digest != original.digest:
        here = provenance(
            context.settings.code_commit, original.made_by.threads, processes=group.world, shard_rows=group.shard_rows
        )  # fmt: skip
        found = "; ".join(original.made_by.differences(here)) or "nothing that is recorded differs"
        raise TrainingError(
            f"version {original.version} was not reproduced: its model digest is {original.digest[:12]}, this one's "
            f"{result.digest[:12]} ({found}). Check out its commit, use its requirements.txt and the same kind of CPU."
        )
    return {"reproduces": original.version, "identical": True}


def run_key(plan: Plan, digest: str) -> str:
    """An experiment never passes for the run of a registered version, even where it made the same model."""
    return digest if plan.pin is None else f"experiment-{digest}"


def recipe(made_by: Provenance, digest: str) -> str:
    """The command that makes a registered version again."""
    return f"git checkout {made_by.commit} && mmoe reproduce {digest[:12]} && dvc repro catch_up"
