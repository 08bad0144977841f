"""The checkpoint of a training that is not done: a safetensors file that appears whole or not at all. No pickle.

Its header says what it is: whose inputs, which step, where each process's stream goes on, and the curve so far. Its
tensors are `weights.*`, `optimizer.*`, `running.*` (what the curve's next point is made of), `random` (the random state
of each process, one a row) and, where the best pass is kept, `best.*`. It holds no row of the log, nor what a row's
label or prediction was.

Of tables that processes share out each writes its own rows, beside it and before it; the header names these files'
digests. A kill leaves the file as it was, and what it names is there until another file is in its place.
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
from torch import Tensor

from mmoe.data.aside import written_aside
from mmoe.data.order import Position
from mmoe.errors import CorruptionError, TrainingError
from mmoe.lake.manifest import file_digest
from mmoe.parsing import Frozen
from mmoe.train.distributed import ALONE, Processes
from mmoe.train.divergence import Steady
from mmoe.train.state import CurvePoint, PassPoint
from mmoe.train.tensors import read_rows, write_tensors

HEADER = "mmoe_checkpoint"
Rows = Mapping[str, Tensor]
NONE: Rows = {}


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
    passes: tuple[PassPoint, ...] = ()
    shared: tuple[str, ...] = ()
    """Tensors of which each process keeps its rows in a file of its own."""
    row_files: tuple[str, ...] = ()
    """sha256 of each process's."""


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
    """The file of one training beside its output folder, and when to write it next.

    `shared` are this process's rows of tensors that the processes of the `group` share out.
    """

    path: Path
    inputs: str
    cadence: Cadence = EVERY_TWO_MINUTES
    _last: float = field(default_factory=time.monotonic, init=False)
    _cost: float = field(default=0.0, init=False)

    def due(self, step: int) -> bool:
        if self.cadence.steps and step % self.cadence.steps == 0:
            return True
        return time.monotonic() - self._last >= max(self.cadence.seconds, 9 * self._cost)

    def write(self, checkpoint: Checkpoint, shared: Rows = NONE, group: Processes = ALONE) -> None:
        """All processes must call it. The first one's rename puts the whole set in the place of the one before."""
        started = time.monotonic()
        progressed = checkpoint.progressed
        if shared:
            rows = self._write_rows(progressed.step, shared, group)
            progressed = progressed.model_copy(update={"shared": tuple(shared), "row_files": rows})
        if group.leads:
            header = progressed.model_dump_json()
            with written_aside(self.path) as aside:
                metadata = {HEADER: header, "sha256": digest(header, checkpoint.tensors)}
                write_tensors(aside, checkpoint.tensors, metadata)
            self._remove_rows(but=progressed.step if shared else None)
        self._last = time.monotonic()
        self._cost = self._last - started

    def _write_rows(self, step: int, shared: Rows, group: Processes) -> tuple[str, ...]:
        path = self.rows_path(step, group.rank)
        with written_aside(path) as aside:
            write_tensors(aside, shared)
        own = torch.frombuffer(bytearray.fromhex(file_digest(path)), dtype=torch.uint8)
        return tuple(each.numpy().tobytes().hex() for each in group.gathered(own))

    def read(self, shared: Rows = NONE, group: Processes = ALONE) -> Checkpoint | None:
        """The last one, and its rows of what is shared out into `shared`; None where there is none for these inputs.

        Raises TrainingError if it was written by another number of processes or with other tables shared out,
        CorruptionError if its bytes are not those that were written.
        """
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                progressed = Progressed.model_validate_json(header.get(HEADER, ""))
                if progressed.inputs != self.inputs:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        except (OSError, SafetensorError, ValidationError) as error:
            raise CorruptionError(f"{self.path}: no readable checkpoint; {REMOVE_IT}") from error
        if digest(header[HEADER], tensors) != header.get("sha256"):
            raise CorruptionError(f"{self.path}: its bytes are not those that were written; {REMOVE_IT}")
        self._refuse_others(progressed, shared, group)
        self._read_rows(progressed, shared, group)
        return Checkpoint(progressed=progressed, tensors=tensors)

    def _refuse_others(self, progressed: Progressed, shared: Rows, group: Processes) -> None:
        before = len(progressed.positions)
        if before != group.world:
            raise TrainingError(
                f"{self.path}: written by {before} processes, and these are {group.world}; set "
                f"MMOE_TRAIN_PROCESSES={before}, or {REMOVE_IT}"
            )
        if set(progressed.shared) != set(shared):
            raise TrainingError(
                f"{self.path}: written where {len(progressed.shared)} tensors were shared out over the processes, and "
                f"now {len(shared)} are; set MMOE_SHARD_ROWS as it was, or {REMOVE_IT}"
            )

    def _read_rows(self, progressed: Progressed, shared: Rows, group: Processes) -> None:
        if not shared:
            return
        path = self.rows_path(progressed.step, group.rank)
        if not path.is_file() or file_digest(path) != progressed.row_files[group.rank]:
            raise CorruptionError(f"{path}: absent, or its bytes are not those that were written; {REMOVE_IT}")
        for name, own in shared.items():
            read_rows(path, name, own, first=0, rows=len(own))

    def rows_path(self, step: int, rank: int) -> Path:
        """Where a process's rows are, at that step."""
        return self.path.with_name(f"{self.path.stem}.rows-{self.inputs[:12]}-{step}-{rank}.safetensors")

    def _remove_rows(self, *, but: int | None) -> None:
        """Of other steps, what killed writers left included."""
        kept = None if but is None else self.rows_path(but, 0).name.removesuffix("0.safetensors")
        for hidden in ("", "."):
            for path in self.path.parent.glob(f"{hidden}{self.path.stem}.rows-*"):
                if kept is None or not path.name.startswith(kept):
                    path.unlink()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._remove_rows(but=None)


REMOVE_IT = "remove it to train from the first row."


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoint of the training into `output` lies."""
    return output.with_name(f"{output.name}.checkpoint.safetensors")


def tensor_of(position: Position) -> Tensor:
    return torch.tensor([position.epoch, position.window, position.row])


def position_of(place: Tensor) -> Position:
    epoch, window, row = place.tolist()
    return Position(epoch=epoch, window=window, row=row)


def digest(header: str, tensors: Mapping[str, Tensor]) -> str:
    """sha256 over the header, and each tensor's name and bytes."""
    total = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
