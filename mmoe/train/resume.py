"""The checkpoint of a training that is not done: one safetensors file that appears whole or not at all. No pickle.

Its header says what it is: whose inputs, which step, where each process's stream goes on, and the curve so far. Its
tensors are `weights.*`, `optimizer.*`, `running.*` (what the curve's next point is made of) and `random` (the random
state of each process, one a row). It holds no row of the log, nor what a row's label or prediction was.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmoe.data.aside import written_aside
from mmoe.data.order import Position
from mmoe.errors import CorruptionError
from mmoe.parsing import Frozen
from mmoe.train.divergence import Steady
from mmoe.train.state import CurvePoint

HEADER = "mmoe_checkpoint"


@dataclass(frozen=True, kw_only=True)
class Cadence:
    """How often a checkpoint is written: it changes no weight, so it is no parameter of a training."""

    seconds: float = 120.0
    """Since the last one; writing them takes at most a tenth of the time all the same."""
    steps: int = 0
    """Also every so many steps; 0: by the clock alone."""


EVERY_TWO_MINUTES = Cadence()


class Progressed(Frozen):
    """A checkpoint's header: how far a training has come."""

    format: Literal[1] = 1
    inputs: str
    """Digest of everything that goes in; a training of other inputs does not go on from here."""
    step: int = Field(ge=1)
    rows: int
    seconds: float
    positions: tuple[Position, ...]
    """Where each process's stream goes on."""
    steady: Steady
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    progressed: Progressed
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors named `prefix.*`, without the prefix."""
        start = prefix + "."
        return {name.removeprefix(start): tensor for name, tensor in self.tensors.items() if name.startswith(start)}


@dataclass(kw_only=True)
class Checkpoints:
    """The file of one training beside its output folder, and when to write it next."""

    path: Path
    inputs: str
    cadence: Cadence = EVERY_TWO_MINUTES
    _last: float = field(default_factory=time.monotonic, init=False)
    _cost: float = field(default=0.0, init=False)

    def due(self, step: int) -> bool:
        if self.cadence.steps and step % self.cadence.steps == 0:
            return True
        return time.monotonic() - self._last >= max(self.cadence.seconds, 9 * self._cost)

    def write(self, checkpoint: Checkpoint) -> None:
        started = time.monotonic()
        header = checkpoint.progressed.model_dump_json()
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
        with written_aside(self.path) as aside:
            save_file(tensors, aside, metadata={HEADER: header, "sha256": digest(header, tensors)})
        self._last = time.monotonic()
        self._cost = self._last - started

    def read(self, processes: int) -> Checkpoint | None:
        """The last one; None where there is none, or it was written for other inputs or another number of processes.

        Raises CorruptionError if its bytes are not those that were written.
        """
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                progressed = Progressed.model_validate_json(header.get(HEADER, ""))
                if progressed.inputs != self.inputs or len(progressed.positions) != processes:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        except (OSError, SafetensorError, ValidationError) as error:
            raise CorruptionError(f"{self.path}: no readable checkpoint; {REMOVE_IT}") from error
        if digest(header[HEADER], tensors) != header.get("sha256"):
            raise CorruptionError(f"{self.path}: its bytes are not those that were written; {REMOVE_IT}")
        return Checkpoint(progressed=progressed, tensors=tensors)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


REMOVE_IT = "remove it to train from the first row."


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoint of the training into `output` lies."""
    return output.with_name(f"{output.name}.checkpoint.safetensors")


def digest(header: str, tensors: Mapping[str, Tensor]) -> str:
    """sha256 over the header, and each tensor's name and bytes."""
    total = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].detach().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
