"""Where a plan's and a version's model files lie, and how score sets get into the lake."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

from mmoe.data.aside import exclusive, written_aside
from mmoe.errors import LakeError
from mmoe.evaluate.calibration import Calibrator
from mmoe.lake.partitions import LAKE_LOCK, scores_key
from mmoe.lake.reader import Partition, open_partition, read_manifest
from mmoe.registry import Registry
from mmoe.steps.context import Context
from mmoe.steps.plan import DayRef, ModelRef, Plan

TRAINABLE, BUNDLE = "trainable", "bundle"


def batch_folder(context: Context, plan: Plan) -> Path:
    """The trainable state after the plan's batch stage."""
    return plan.folder(context.settings) / "batch"


def candidate_folder(context: Context, plan: Plan) -> Path:
    """The trainable state that the plan registers: after catch-up, or after batch where nothing is to catch up."""
    return plan.folder(context.settings) / "candidate" if plan.catch_up_days else batch_folder(context, plan)


def model_folder(context: Context, plan: Plan) -> Path:
    """trainable/ and bundle/ of the plan's model: what MLflow keeps."""
    return plan.folder(context.settings) / "model"


def assemble_model(context: Context, plan: Plan, calibrator: Calibrator | None) -> Path:
    """Put the candidate's trainable state and its export side by side, whole or not at all."""
    from mmoe.serve.export import export_bundle

    target, trainable = model_folder(context, plan), candidate_folder(context, plan)
    exported = plan.folder(context.settings) / BUNDLE
    export_bundle(trainable, exported, calibrator)
    with exclusive(target):
        if not target.exists():
            with written_aside(target) as aside:
                shutil.copytree(trainable, aside / TRAINABLE)
                shutil.copytree(exported, aside / BUNDLE)
    return target


def version_folder(context: Context, version: ModelRef) -> Path:
    """A registered version's files, downloaded once. Raises CorruptionError if they have changed in the registry."""
    target = context.settings.work / "versions" / version.digest
    with exclusive(target):
        if not target.exists():
            with written_aside(target) as aside:
                Registry(context.settings).download(version.version, aside)
    return target


def open_day(context: Context, ref: DayRef) -> Partition:
    """The partition a plan was made for. Raises TrainingError if the day has been published anew since."""
    from mmoe.errors import TrainingError

    partition = open_partition(context.store, ref.day, context.schema)
    if partition.digest != ref.digest:
        raise TrainingError(f"day={ref.day}: published anew after the plan was made; make a new plan.")
    return partition


def keep_scores(context: Context, day: date, name: str, write: Callable[[Path], None]) -> Path:
    """The score set `name` of a day in the lake, written by `write` unless it is there; it expires with its day."""
    key = scores_key(day, name)
    if not context.store.list(key):
        with context.store.lock(f"scores-{day}-{name}"), context.store.writer(key) as (path, commit):
            write(path)
            with context.store.lock(LAKE_LOCK):
                if read_manifest(context.store, day).digest[:12] not in name:
                    raise LakeError(f"day={day}: published anew while it was scored; make a new plan.")
                commit()
    return context.store.local_path(key)
