"""Incremental training: a trained network goes on with newer days, and with a part of earlier ones where asked.
Distillation has no place here, nor a parameter: on a warm start it overfits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmoe.config import Params
from mmoe.data.batch import Batch
from mmoe.data.hashing import GroupShare
from mmoe.data.order import Position
from mmoe.data.stream import stream_batches
from mmoe.errors import ConfigError, SchemaError, TrainingError
from mmoe.lake.reader import Partition
from mmoe.schema import Schema
from mmoe.train.checkpoint import Trainable, load_trainable, rows_of
from mmoe.train.device import cpu_threads
from mmoe.train.distributed import ALONE, Processes
from mmoe.train.loop import Fit, Loop
from mmoe.train.objective import Objective
from mmoe.train.once import trained_once
from mmoe.train.resume import EVERY_TWO_MINUTES, Cadence, Checkpoints
from mmoe.train.sharding import build_optimizer, shared_out
from mmoe.train.spec import ReportProgress, TrainResult, given, in_order, inputs_digest, refuse_lone_rows, seen_days
from mmoe.train.state import Stage, TrainState, model_digest


def train_incremental(
    *,
    start: Path,
    schema: Schema,
    params: Params,
    partitions: Sequence[Partition],
    replayed: Sequence[Partition] = (),
    output: Path,
    holdout: GroupShare | None = None,
    calibration: GroupShare | None = None,
    threads: int = 0,
    progress: ReportProgress | None = None,
    cadence: Cadence = EVERY_TWO_MINUTES,
    group: Processes = ALONE,
) -> TrainResult:
    """Train the trainable folder `start` on the partitions, day after day, into the folder `output`.

    Of the `replayed` days, which it has learned before, `incremental.replay.share` comes again among the new rows.
    `holdout` and `calibration` keep rows of the newest day out of training, for the gate and for the calibrator. The
    folder appears whole or not at all; when it is already there, made of the same inputs, it is returned at once.
    Killed, it goes on from its last checkpoint, to the same bits. Raises SchemaError for another schema than the
    start's, TrainingError for a new day that it has already learned, or a replayed one that it has not.
    """
    trained = load_trainable(start, group)
    run = IncrementalRun(
        folder=start,
        start=trained,
        digest=model_digest(start),
        params=params,
        partitions=in_order(partitions),
        replayed=in_order(replayed) if replayed else (),
        holdout=holdout,
        calibration=calibration,
    )
    refuse_other_schema(trained.state, schema)
    refuse_known_days(trained.state, run.partitions)
    refuse_unknown_days(trained.state, run.replayed)
    with cpu_threads(threads):
        return trained_once(output, run.inputs(), cadence, group, partial(run.train, progress, group))


@dataclass(frozen=True, kw_only=True)
class IncrementalRun:
    """Everything that an incremental training depends on."""

    folder: Path
    start: Trainable
    """What is in the folder."""
    digest: str
    params: Params
    partitions: tuple[Partition, ...]
    replayed: tuple[Partition, ...]
    holdout: GroupShare | None
    calibration: GroupShare | None

    @property
    def replay(self) -> GroupShare | None:
        """Which part of the replayed days is learned: other groups in each update. Raises ConfigError."""
        if not self.replayed:
            return None
        config = self.params.incremental.replay
        if config is None:
            raise ConfigError(f"incremental.replay: absent, but {len(self.replayed)} days are to be replayed; add it.")
        return GroupShare(salt=f"replay {self.params.seed} {self.partitions[-1].day}", share=config.share, keep=True)

    @property
    def rows(self) -> int:
        """About as many as will be learned."""
        new, again = (sum(partition.rows for partition in days) for days in (self.partitions, self.replayed))
        return new + (round(self.replay.share * again) if self.replay else 0)

    def train(
        self, progress: ReportProgress | None, group: Processes, checkpoints: Checkpoints
    ) -> tuple[Trainable, Fit]:
        config, rates = self.params.train, self.params.train.optimizer
        network, schema = self.start.network, self.start.state.data_schema
        refuse_lone_rows(self.start.state.model, group.batch_size(config.batch_size))
        optimizer = build_optimizer(
            network,
            group,
            fill=rows_of(self.folder),
            dense_lr=self.params.incremental.dense_lr,
            embedding_lr=self.params.incremental.embedding_lr,
            weight_decay=rates.weight_decay,
            clip_norm=rates.clip_norm,
            embedding_l2=rates.embedding_l2,
        )
        optimizer.load_state(self.start.optimizer)
        loop = Loop(
            network=network,
            optimizer=optimizer,
            objective=Objective(heads=schema.heads, head_weights=self.params.head_weights, balance=config.balance),
            precision=config.precision,
            rows_planned=self.rows,
            batch_size=config.batch_size,
            seed=self.params.seed,
            checkpoints=checkpoints,
            group=group,
            progress=progress if group.leads else None,
        )
        fit = loop.run(partial(self.batches, group))
        state, shared = self.state(group, fit), shared_out(optimizer)
        return Trainable(network=network, optimizer=optimizer.state(), state=state, shared=shared), fit

    def batches(self, group: Processes, start: Position) -> Iterator[Batch]:
        """From a position on. New days stay in order: each is shuffled by itself, with its part of what is replayed."""
        state = self.start.state
        again = {partition.day: given(self.replay) for partition in self.replayed}
        return stream_batches(
            self.partitions,
            state.data_schema,
            state.moments,
            batch_size=group.batch_size(self.params.train.batch_size),
            shuffle_rows=self.params.train.shuffle_rows,
            seed=self.params.seed,
            start=start,
            shard=group.shard,
            within_days=True,
            replayed=self.replayed,
            groups=again | {self.partitions[-1].day: given(self.holdout, self.calibration)},
        )

    def state(self, group: Processes, fit: Fit) -> TrainState:
        stage = Stage(
            kind="incremental",
            inputs=self.inputs(),
            days=seen_days(self.partitions),
            rows=fit.rows,
            steps=fit.steps,
            processes=group.world,
            seed=self.params.seed,
            precision=fit.precision,
            start=self.digest,
            holdout=self.holdout,
            calibration=self.calibration,
            replayed=seen_days(self.replayed),
            replay=self.replay,
            curve=fit.curve,
        )
        return self.start.state.model_copy(update={"stages": (*self.start.state.stages, stage)})

    def inputs(self) -> str:
        """Digest of everything that the result depends on."""
        return inputs_digest(
            {
                "kind": "incremental",
                "start": self.digest,
                "params": self.params.model_dump(mode="json", include={"seed", "head_weights", "train", "incremental"}),
                "days": [seen.model_dump(mode="json") for seen in seen_days(self.partitions)],
                "replayed": [seen.model_dump(mode="json") for seen in seen_days(self.replayed)],
                "holdout": self.holdout and self.holdout.model_dump(mode="json"),
                "calibration": self.calibration and self.calibration.model_dump(mode="json"),
            }
        )


def refuse_other_schema(state: TrainState, schema: Schema) -> None:
    if state.schema_fingerprint != schema.fingerprint:
        raise SchemaError(
            f"start: trained under schema {state.data_schema.name!r} ({state.schema_fingerprint[:12]}), not "
            f"{schema.name!r} ({schema.fingerprint[:12]}); batch-train a model under the new schema first."
        )


def refuse_known_days(state: TrainState, partitions: Sequence[Partition]) -> None:
    known = sorted({seen.day for seen in state.days} & {partition.day for partition in partitions})
    if known:
        days = ", ".join(map(str, known))
        raise TrainingError(f"partitions: the model has already learned {days}; give only days it has not seen.")


def refuse_unknown_days(state: TrainState, replayed: Sequence[Partition]) -> None:
    """A day that was learned in part would pass for a learned one ever after."""
    unknown = sorted({partition.day for partition in replayed} - {seen.day for seen in state.days})
    if unknown:
        days = ", ".join(map(str, unknown))
        raise TrainingError(f"replayed: the model has not learned {days}; replay only days it has learned.")
