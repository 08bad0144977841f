"""A training's folder is made once: whole or not at all, by one process of many."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from mmoe.data.aside import exclusive
from mmoe.errors import TrainingError
from mmoe.train.checkpoint import Trainable, save_trainable
from mmoe.train.device import keep_freed_memory
from mmoe.train.distributed import Processes
from mmoe.train.loop import Fit
from mmoe.train.resume import Cadence, Checkpoints, checkpoint_path
from mmoe.train.spec import TrainResult, finished

Train = Callable[[Checkpoints], tuple[Trainable, Fit]]


def trained_once(output: Path, inputs: str, cadence: Cadence, group: Processes, train: Train) -> TrainResult:
    """What `output` holds, trained now unless it is there. Raises TrainingError if it was made of other inputs."""
    checkpoints = Checkpoints(path=checkpoint_path(output), inputs=inputs, cadence=cadence)
    with exclusive(output) if group.leads else nullcontext():
        found = finished(output, inputs) if group.leads else None
        if not group.agreed(found is not None):
            keep_freed_memory()
            trained, fit = train(checkpoints)
            found = save_trainable(output, trained, fit, group)
            group.wait()
        if group.leads:
            checkpoints.remove()
    found = found or finished(output, inputs)
    if found is None:
        raise TrainingError(f"{output}: the first process left no model there; give all processes one file system.")
    return found
