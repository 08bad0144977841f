"""What a training leaves behind beside its tensors: everything that explains the model or resumes it. No torch here."""

import hashlib
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from mmoe.data.hashing import HASH_VERSION, GroupShare
from mmoe.data.moments import Moment
from mmoe.errors import CorruptionError, TrainingError
from mmoe.model_config import ModelConfig
from mmoe.parsing import Frozen
from mmoe.schema import Schema

STATE = "state.json"


class SeenDay(Frozen):
    """A partition that was learned from, by content."""

    day: date
    digest: str


class TeacherRef(Frozen):
    digest: str
    """model_digest of the teacher."""
    weight: float
    head_map: dict[str, str]


class GatePoint(Frozen):
    """Whether a head's gate has collapsed, in the last batch before the point."""

    entropy: float
    """Mean over rows of the entropy of a row's gate weights, over that of even weights: 0 to 1."""
    experts: float
    """Effective number of experts, exp(entropy of the mean weights): 1 is collapse onto one."""


class CurvePoint(Frozen):
    """Mean losses, and AUC, over the steps since the point before."""

    step: int
    rows: int
    """Rows learned in this stage so far, repeats counted."""
    task: dict[str, float]
    """Masked cross-entropy per head, unweighted."""
    distillation: float | None = None
    """Weighted sum over teachers and heads."""
    gates: dict[str, GatePoint] | None = None
    """Per head; None for a shared bottom."""
    auc: dict[str, float | None] | None = None
    """Per head, of what was predicted of the rows since the point before, each before it was learned; None for a head
    without both classes among them."""


class PassPoint(Frozen):
    """How good the model was, after one of the passes over its days, on rows that were held out."""

    rows: int
    """Learned by then, repeats counted."""
    steps: int
    auc: dict[str, float | None]
    """Per head; None for a head without both classes among the rows."""

    @property
    def mean_auc(self) -> float:
        """Over the heads that have one."""
        return fmean(value for value in self.auc.values() if value is not None)


class Stage(Frozen):
    """One training run: a batch run, or an incremental one on top of what came before."""

    kind: Literal["batch", "incremental"]
    inputs: str
    """Digest of everything that went in."""
    days: tuple[SeenDay, ...]
    rows: int
    steps: int
    seed: int
    precision: Literal["bfloat16", "float32"]
    """What the experts computed in."""
    processes: int = 1
    """That shared each step's rows."""
    start: str | None = None
    """model_digest that an incremental stage began from."""
    holdout: GroupShare | None = None
    """Which rows of the newest day were learned from, when not all."""
    calibration: GroupShare | None = None
    """The same, for the rows that the calibrator was fitted on."""
    replayed: tuple[SeenDay, ...] = ()
    """Days of earlier stages that an incremental one learned a part of again, as they then were."""
    replay: GroupShare | None = None
    """Which part."""
    teachers: tuple[TeacherRef, ...] = ()
    passes: tuple[PassPoint, ...] = ()
    """Where the best pass was kept: all of them. `rows`, `steps` and `curve` end with the best."""
    curve: tuple[CurvePoint, ...]


class TrainState(Frozen):
    """state.json of a trainable folder."""

    format: Literal[1] = 1
    hash_version: int = HASH_VERSION
    data_schema: Schema
    schema_fingerprint: str
    model: ModelConfig
    moments: dict[str, Moment]
    stages: tuple[Stage, ...] = Field(min_length=1)
    files: dict[str, str] = Field(default_factory=dict)
    """sha256 of each other file of the folder; filled in when it is saved."""

    @model_validator(mode="after")
    def _is_one_this_code_understands(self) -> Self:
        if self.hash_version != HASH_VERSION:
            raise ValueError(f"hash_version={self.hash_version}: this code hashes by version {HASH_VERSION}")
        if self.data_schema.fingerprint != self.schema_fingerprint:
            raise ValueError("schema_fingerprint is not that of data_schema")
        return self

    @property
    def heads(self) -> tuple[str, ...]:
        return self.data_schema.heads

    @property
    def days(self) -> tuple[SeenDay, ...]:
        """Every partition learned from, in the order of learning."""
        return tuple(day for stage in self.stages for day in stage.days)

    @property
    def trained_through(self) -> date:
        return max(seen.day for seen in self.days)

    @property
    def rows(self) -> int:
        return sum(stage.rows for stage in self.stages)

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)


def read_state(folder: Path) -> TrainState:
    """Raises TrainingError if the folder holds no state, CorruptionError if the state is damaged."""
    path = folder / STATE
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; give the folder of a finished training or a bundle.")
    try:
        return TrainState.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "(top level)"
        raise CorruptionError(
            f"{path}: {field}: {first['msg']}. Train again, or use the code it was made by."
        ) from None


def model_digest(folder: Path) -> str:
    """Identity of a trained model: sha256 of its state.json, which holds the digests of its tensors."""
    read_state(folder)
    return hashlib.sha256((folder / STATE).read_bytes()).hexdigest()
