"""Batch training: a new network on a window of days, distilled from teachers where there are any."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmoe.config import Params
from mmoe.data.batch import Batch
from mmoe.data.hashing import GroupShare
from mmoe.data.moments import Moments, measure_moments
from mmoe.data.order import Position
from mmoe.data.stream import stream_batches
from mmoe.data.teachers import Teacher
from mmoe.lake.reader import Partition
from mmoe.model.network import Network, build_network
from mmoe.model_config import ModelConfig
from mmoe.schema import Schema
from mmoe.train.checkpoint import Trainable
from mmoe.train.device import cpu_threads
from mmoe.train.distributed import ALONE, Processes
from mmoe.train.loop import Fit, Loop
from mmoe.train.losses import LISTWISE
from mmoe.train.objective import Objective
from mmoe.train.once import trained_once
from mmoe.train.optim import refuse_apart
from mmoe.train.passes import HeldOut, Passes, refuse_unjudged
from mmoe.train.resume import EVERY_TWO_MINUTES, Cadence, Checkpoints
from mmoe.train.sharding import build_optimizer, shared_out
from mmoe.train.spec import (
    ReportProgress,
    TrainResult,
    given,
    in_order,
    inputs_digest,
    network_spec,
    refuse_lone_rows,
    seen_days,
)
from mmoe.train.state import Stage, TeacherRef, TrainState


def train_batch(
    *,
    schema: Schema,
    model: ModelConfig,
    params: Params,
    partitions: Sequence[Partition],
    teacher_scores: Sequence[Teacher] = (),
    calibration: GroupShare | None = None,
    held_out: HeldOut | None = None,
    output: Path,
    threads: int = 0,
    progress: ReportProgress | None = None,
    cadence: Cadence = EVERY_TWO_MINUTES,
    group: Processes = ALONE,
) -> TrainResult:
    """Train `model` on the partitions, oldest first, into the folder `output`.

    `calibration` keeps rows of the newest day out of training, for the calibrator. With `train.patience` passes are
    judged on `held_out`, which must hold none of the rows that are learned. The processes of a `group` share
    each step's rows. The folder appears whole or not at all; when it is already there, made of the same inputs, it is
    returned at once.
    On one machine the same inputs give the same bits, also when the training was killed and goes on from its last
    checkpoint, which lies beside `output` until that is there. Teachers are ignored when distillation is disabled.
    Raises TrainingError, or CorruptionError for damaged score sets.
    """
    run = BatchRun(
        schema=schema,
        model=model,
        params=params,
        partitions=in_order(partitions),
        teachers=tuple(teacher_scores) if params.distillation.enabled else (),
        calibration=calibration,
        held_out=None if params.train.patience is None else held_out,
    )
    with cpu_threads(threads):
        return trained_once(output, run.inputs(), cadence, group, partial(run.train, progress, group))


@dataclass(frozen=True, kw_only=True)
class BatchRun:
    """Everything that a batch training depends on."""

    schema: Schema
    model: ModelConfig
    params: Params
    partitions: tuple[Partition, ...]
    teachers: tuple[Teacher, ...]
    calibration: GroupShare | None
    held_out: HeldOut | None

    def train(
        self, progress: ReportProgress | None, group: Processes, checkpoints: Checkpoints
    ) -> tuple[Trainable, Fit]:
        moments = measure_moments(self.partitions, self.schema, self.model.numeric_buckets)
        config, rates = self.params.train, self.params.train.optimizer
        refuse_lone_rows(self.model, group.batch_size(config.batch_size))
        spec = network_spec(self.schema, self.model)
        network = build_network(spec, self.params.seed, apart_from=group.apart_from)
        passes = self.passes(network, moments, group)
        refuse_apart(network, decay_share=rates.decay_share)
        optimizer = build_optimizer(network, group, **rates.model_dump(exclude={"warmup_share", "decay_share"}))
        loop = Loop(
            network=network,
            optimizer=optimizer,
            objective=self.objective(),
            precision=config.precision,
            rows_planned=config.epochs * sum(partition.rows for partition in self.partitions),
            batch_size=config.batch_size,
            seed=self.params.seed,
            checkpoints=checkpoints,
            group=group,
            warmup_share=rates.warmup_share,
            decay_share=rates.decay_share,
            progress=progress if group.leads else None,
            passes=passes,
        )
        ends = [config.epochs] if passes is None else range(1, config.epochs + 1)
        fit = loop.run(*(partial(self.batches, moments, group, end) for end in ends))
        state, shared = self.state(moments, group, fit), shared_out(optimizer)
        return Trainable(network=network, optimizer=optimizer.state(), state=state, shared=shared), fit

    def objective(self) -> Objective:
        return Objective(
            heads=self.schema.heads,
            head_weights=self.params.head_weights,
            distillation=self.params.distillation,
            teacher_weights=tuple(teacher.weight for teacher in self.teachers),
            balance=self.params.train.balance,
        )

    def passes(self, network: Network, moments: Moments, group: Processes) -> Passes | None:
        """What judges each epoch, where that is asked for. Raises ConfigError where it cannot be done."""
        config = self.params.train
        if config.patience is None:
            return None
        judged_on = refuse_unjudged(network, config.patience, self.held_out)
        batches = partial(
            stream_batches,
            [judged_on.partition],
            self.schema,
            moments,
            batch_size=group.batch_size(config.batch_size),
            shard=group.shard,
            groups={judged_on.partition.day: judged_on.groups},
        )
        return Passes(patience=config.patience, batches=batches)

    def batches(self, moments: Moments, group: Processes, epochs: int, start: Position) -> Iterator[Batch]:
        """The batches of so many epochs from a position on, shuffled anew each epoch."""
        config = self.params.train
        return stream_batches(
            self.partitions,
            self.schema,
            moments,
            batch_size=group.batch_size(config.batch_size),
            shuffle_rows=config.shuffle_rows,
            seed=self.params.seed,
            epochs=epochs,
            start=start,
            shard=group.shard,
            teachers=self.teachers,
            groups={self.partitions[-1].day: given(self.calibration)},
            with_groups=bool(self.teachers) and self.params.distillation.loss in LISTWISE,
        )

    def state(self, moments: Moments, group: Processes, fit: Fit) -> TrainState:
        stage = Stage(
            kind="batch",
            inputs=self.inputs(),
            days=seen_days(self.partitions),
            rows=fit.rows,
            steps=fit.steps,
            processes=group.world,
            seed=self.params.seed,
            precision=fit.precision,
            calibration=self.calibration,
            teachers=self.teacher_refs(),
            passes=fit.passes,
            curve=fit.curve,
        )
        return TrainState(
            data_schema=self.schema,
            schema_fingerprint=self.schema.fingerprint,
            model=self.model,
            moments=moments,
            stages=(stage,),
        )

    def teacher_refs(self) -> tuple[TeacherRef, ...]:
        return tuple(TeacherRef(digest=t.digest, weight=t.weight, head_map=dict(t.head_map)) for t in self.teachers)

    def inputs(self) -> str:
        """Digest of everything that the result depends on."""
        return inputs_digest(
            {
                "kind": "batch",
                "schema": self.schema.fingerprint,
                "model": self.model.model_dump(mode="json"),
                "params": self.params.model_dump(
                    mode="json", include={"seed", "head_weights", "train", "distillation"}
                ),
                "days": [seen.model_dump(mode="json") for seen in seen_days(self.partitions)],
                "calibration": self.calibration and self.calibration.model_dump(mode="json"),
                "teachers": [teacher.model_dump(mode="json") for teacher in self.teacher_refs()],
                "held_out": self.held_out and self.held_out.inputs(),
            }
        )
