"""What training takes and gives, apart from data: sizes from a schema, progress, the result."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmoe.data.hashing import GroupShare
from mmoe.errors import ConfigError, TrainingError
from mmoe.lake.reader import Partition
from mmoe.model.network import NetworkSpec
from mmoe.model_config import ModelConfig
from mmoe.schema import VIEW_TYPE, Schema
from mmoe.train.state import CurvePoint, SeenDay, TrainState, model_digest, read_state


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands."""

    rows: int
    rows_planned: int
    loss: float
    """Total loss, mean over the steps since the curve's last point."""
    task: Mapping[str, float]
    """The same of each head's loss, and of the distillation loss where there is one."""
    distillation: float | None
    examples_per_second: float
    """Since this process began."""
    curve: tuple[CurvePoint, ...] = ()
    """Its points so far."""

    @property
    def seconds_left(self) -> float:
        return (self.rows_planned - self.rows) / max(1.0, self.examples_per_second)


ReportProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A finished training."""

    folder: Path
    digest: str
    """model_digest of the folder."""
    state: TrainState
    reused: bool
    """True when the folder was already there, made of the same inputs."""
    seconds: float
    examples_per_second: float
    """Over this run's rows; 0 when reused."""
    resumed_at: int = 0
    """The row of a checkpoint that an interrupted training went on from."""


def network_spec(schema: Schema, model: ModelConfig) -> NetworkSpec:
    """The network that a schema and a model config describe."""
    features = schema.features
    bucketed = [model.numeric_buckets[name] for name in features.numeric if name in model.numeric_buckets]
    names = feature_names(schema, model)
    for index, expert in enumerate(model.experts):
        for read in expert.stream_gates:
            places(names, read, model, f"experts.{index}.stream_gates")
    hashed = tuple((f.buckets, f.dim or model.embedding_dim) for f in features.categorical.values())
    return NetworkSpec(
        categorical=hashed + tuple((buckets, model.embedding_dim) for buckets in bucketed),
        bags=tuple((f.buckets, f.dim or model.embedding_dim) for f in features.multivalued.values()),
        numeric=len(features.numeric) - len(bucketed),
        view_types=len(schema.view_type.names),
        heads=schema.heads,
        config=model,
        gate_features=places(names, model.gate_inputs, model, "gate_inputs") or None,
        feature_names=names,
    )


def feature_names(schema: Schema, model: ModelConfig) -> tuple[str, ...]:
    """In the order of Embeddings.columns."""
    features = schema.features
    bucketed = [name for name in features.numeric if name in model.numeric_buckets]
    plain = [name for name in features.numeric if name not in model.numeric_buckets]
    return (*features.categorical, *bucketed, VIEW_TYPE, *features.multivalued, *plain)


def places(names: Sequence[str], read: Sequence[str], model: ModelConfig, field: str) -> tuple[int, ...]:
    """Where the features that `field` says are read stand among all. Raises ConfigError for an unknown name."""
    known = [name for name in names if name != VIEW_TYPE or model.view_dim != 0]
    unknown = [name for name in read if name not in known]
    if unknown:
        raise ConfigError(f"{field}={unknown[0]!r}: no feature of the schema; use any of {', '.join(known)}.")
    return tuple(names.index(name) for name in read)


def refuse_lone_rows(model: ModelConfig, rows: int) -> None:
    """Raises ConfigError where a process takes one row a step, which has no variance to normalise by."""
    if model.normalization == "batch" and rows < 2:
        raise ConfigError(
            f"normalization=batch: needs more than the {rows} row that each process takes a step; raise "
            "train.batch_size, or set normalization to none."
        )


def in_order(partitions: Sequence[Partition]) -> tuple[Partition, ...]:
    """By day. Raises TrainingError when there is none, or one day twice."""
    ordered = tuple(sorted(partitions, key=lambda partition: partition.day))
    days = [partition.day for partition in ordered]
    if not any(partition.rows for partition in ordered):
        raise TrainingError("partitions: no rows to train on; give at least one published day.")
    repeated = [day for day in days if days.count(day) > 1]
    if repeated:
        raise TrainingError(f"partitions: {repeated[0]} is given twice; give each day once.")
    return ordered


def seen_days(partitions: Sequence[Partition]) -> tuple[SeenDay, ...]:
    return tuple(SeenDay(day=partition.day, digest=partition.digest) for partition in partitions)


def given(*shares: GroupShare | None) -> tuple[GroupShare, ...]:
    """Those that limit a day."""
    return tuple(share for share in shares if share is not None)


def inputs_digest(content: object) -> str:
    """Identity of a training's inputs; `content` is plain JSON data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def finished(output: Path, inputs: str) -> TrainResult | None:
    """The training that `output` already holds, or None. Raises TrainingError if it was made of other inputs."""
    if not output.exists():
        return None
    state = read_state(output)
    if state.stages[-1].inputs != inputs:
        raise TrainingError(f"{output}: holds a training of other inputs; give another folder or remove this one.")
    digest = model_digest(output)
    return TrainResult(folder=output, digest=digest, state=state, reused=True, seconds=0.0, examples_per_second=0.0)
