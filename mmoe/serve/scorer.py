"""A bundle, loaded to score: partitions into score sets, batches into logits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmoe.data.batch import Batch
from mmoe.data.hashing import GroupShare
from mmoe.data.rows import Floats
from mmoe.data.scores import write_scores
from mmoe.data.slicing import slice_columns
from mmoe.data.stream import stream_batches
from mmoe.evaluate.calibration import Calibrator
from mmoe.evaluate.ranking import probabilities
from mmoe.evaluate.ties import Doubles
from mmoe.lake.partitions import GROUP_ID
from mmoe.lake.reader import Partition
from mmoe.model.inputs import Inputs
from mmoe.model.network import Network, build_network
from mmoe.schema import EVENT_ID, Schema
from mmoe.serve.export import CALIBRATOR, Precision, read_bundle, read_calibrator, weights_file
from mmoe.train.checkpoint import load_trainable, load_weights
from mmoe.train.device import cpu_threads, usable_precision
from mmoe.train.spec import network_spec
from mmoe.train.state import TrainState, model_digest, read_state

BATCH_ROWS = 8192


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A network in evaluation mode, with the state that tells how to feed it."""

    network: Network
    state: TrainState
    calibrator: Calibrator | None
    """Applied to what is scored; None leaves logits as the network gives them."""
    digest: str
    """What its score sets are marked with: the model's digest, the precision unless it is float32, the calibrator's."""
    threads: int

    @classmethod
    def load(
        cls, folder: Path, precision: Precision = "float32", threads: int = 0, *, calibrated: bool = False
    ) -> Self:
        """Load the bundle in `folder`. Raises TrainingError if it is none, CorruptionError if it is damaged.

        threads: CPU threads to compute on; 0 leaves the choice to PyTorch. calibrated: as it serves, where the bundle
        has a calibrator; else as it teaches. On a CPU without bfloat16 arithmetic the bfloat16 weights are computed
        with in float32: emulating it takes ten times as long.
        """
        bundle, state = read_bundle(folder), read_state(folder)
        network = build_network(network_spec(state.data_schema, state.model), seed=0)
        if precision == "bfloat16":
            network.to_mixed()
        load_weights(network, folder / weights_file(precision))
        if usable_precision(precision) == "float32":
            network.float()
        digest = bundle.model_digest + ("" if precision == "float32" else f"-{precision}")
        calibrator = read_calibrator(folder, bundle) if calibrated else None
        if calibrator is not None:
            digest += f"-calibrated-{bundle.files[CALIBRATOR][:12]}"
        return cls(network=network.eval(), state=state, calibrator=calibrator, digest=digest, threads=threads)

    @classmethod
    def of_trainable(cls, folder: Path, threads: int = 0) -> Self:
        """Load a trained folder before it is exported. Raises TrainingError or CorruptionError."""
        trained = load_trainable(folder)
        return cls(
            network=trained.network.eval(),
            state=trained.state,
            calibrator=None,
            digest=model_digest(folder),
            threads=threads,
        )

    def logits(self, inputs: Inputs) -> dict[str, Floats]:
        """head -> (B,) float32 logits, calibrated where the scorer is."""
        names, view_type = self.state.data_schema.view_type.names, inputs.view_type_B.numpy()
        with torch.inference_mode():
            plain = {head: logits.numpy() for head, logits in self.network(inputs).items()}
        if self.calibrator is None:
            return plain
        return {head: self.calibrator.apply(head, logits, view_type, names) for head, logits in plain.items()}

    def probabilities(self, inputs: Inputs) -> dict[str, Doubles]:
        """head -> (B,) what a server answers."""
        return {head: probabilities(logits) for head, logits in self.logits(inputs).items()}

    def score_partition(
        self,
        partition: Partition,
        path: Path,
        *,
        groups: Sequence[GroupShare] = (),
        schema: Schema | None = None,
    ) -> None:
        """Write the partition's score set at `path`, atomically; rows keep the partition's order.

        `groups` limits it to the groups that every share keeps. `schema`: whose slices are written; None: none but
        the view type. Raises EvaluationError when a logit is not finite.
        """
        heads = self.state.heads
        logits, labels, view_types, identities = [], [], [], []
        with cpu_threads(self.threads):
            for batch in self.batches(partition, groups=groups, with_identity=True):
                scored = self.logits(batch.inputs)
                logits.append(np.stack([scored[head] for head in heads], axis=1))
                labels.append(batch.labels_BH.numpy())
                view_types.append(batch.inputs.view_type_B.numpy())
                identities.append(batch.identity)
        empty = np.empty((0, len(heads)), dtype=np.float32)
        logit, label = np.concatenate([empty, *logits]), np.concatenate([empty, *labels])
        ids = pa.concat_tables([_no_rows(partition), *identities])
        names = pa.array(self.state.data_schema.view_type.names)
        write_scores(
            path,
            day=partition.day,
            model_digest=self.digest,
            example_id=ids[EVENT_ID],
            group_id=ids[GROUP_ID],
            view_type=names.take(pa.array(np.concatenate([np.empty(0, dtype=np.int64), *view_types]))),
            logits={head: logit[:, index] for index, head in enumerate(heads)},
            labels={head: label[:, index] for index, head in enumerate(heads)},
            slices=None if schema is None else slice_columns(partition, schema, groups),
            # Rows of left out groups are judged on a day of which the other groups were learned.
            learned_days={seen.day for seen in self.state.days if not groups or seen.day != partition.day},
        )

    def gate_use(self, partition: Partition) -> dict[str, dict[str, list[float]]]:
        """Mean weight of each expert, by head and view type, over the partition. Empty for a shared bottom.

        Experts are those of `state.model.experts`, in that order; view types without rows are left out.
        """
        names = self.state.data_schema.view_type.names
        sums: dict[str, torch.Tensor] = {}
        counts = torch.zeros(len(names), dtype=torch.float64)
        with torch.inference_mode(), cpu_threads(self.threads):
            for batch in self.batches(partition):
                view_type = batch.inputs.view_type_B
                counts += torch.bincount(view_type, minlength=len(names))
                for head, weights in self.network.gate_weights(batch.inputs).items():
                    total = sums.setdefault(head, torch.zeros(len(names), weights.shape[1], dtype=torch.float64))
                    total.index_add_(0, view_type, weights.double())
        return {
            head: {
                name: (total[index] / counts[index]).tolist() for index, name in enumerate(names) if counts[index] > 0
            }
            for head, total in sums.items()
        }

    def batches(
        self,
        partition: Partition,
        *,
        batch_size: int = BATCH_ROWS,
        groups: Sequence[GroupShare] = (),
        with_identity: bool = False,
    ) -> Iterator[Batch]:
        """The partition's rows as this model reads them, in order."""
        return stream_batches(
            [partition],
            self.state.data_schema,
            self.state.moments,
            batch_size=batch_size,
            groups={partition.day: groups},
            with_identity=with_identity,
        )


def _no_rows(partition: Partition) -> pa.Table:
    """The identity columns of the partition, empty, so that a score set of no rows has the right types."""
    return pq.read_schema(partition.files[0]).empty_table().select([EVENT_ID, GROUP_ID])
