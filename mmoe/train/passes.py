"""Passes over the same days, judged on rows that none of them learns: the best is kept, and ends the training early."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from mmoe.data.batch import Batch
from mmoe.data.hashing import GroupShare
from mmoe.errors import ConfigError, TrainingError
from mmoe.lake.reader import Partition
from mmoe.model.network import Network
from mmoe.train.device import Precision, fed, outputs_in
from mmoe.train.distributed import Processes
from mmoe.train.optim import Optimizer, to_share_out
from mmoe.train.progressive import aucs, count, no_rows
from mmoe.train.state import PassPoint


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Rows that passes are judged on: those of a day, or of it the groups that every share keeps."""

    partition: Partition
    groups: tuple[GroupShare, ...] = ()

    def inputs(self) -> dict[str, object]:
        """What they are, as plain JSON data."""
        groups = [share.model_dump(mode="json") for share in self.groups]
        return {"day": str(self.partition.day), "digest": self.partition.digest, "groups": groups}


class HeldOutBatches(Protocol):
    def __call__(self) -> Iterable[Batch]:
        """This process's batches of the held-out rows, from the first on."""
        ...


@dataclass(kw_only=True)
class Passes:
    """What is known of the passes so far, and what the best of them has learned, whole and in memory."""

    patience: int
    batches: HeldOutBatches
    points: tuple[PassPoint, ...] = ()
    kept: dict[str, Tensor] = field(default_factory=dict)
    """weights.* and optimizer.* after the best pass, on the CPU."""

    @property
    def best(self) -> int:
        """Which pass, from 0; of equals the first."""
        means = [point.mean_auc for point in self.points]
        return means.index(max(means))

    @property
    def over(self) -> bool:
        return bool(self.points) and len(self.points) - 1 - self.best >= self.patience

    def judge(
        self, network: Network, optimizer: Optimizer, group: Processes, precision: Precision, *, rows: int, steps: int
    ) -> None:
        """After a pass. Counts are summed over all processes, so that each comes to the same judgement.

        Raises TrainingError where no head has both classes among the held-out rows.
        """
        auc = aucs(group.summed(self._counted(network, precision)), network.heads)
        if all(value is None for value in auc.values()):
            raise TrainingError("train.patience: no head has both classes among the held-out rows; hold more rows out.")
        self.points = (*self.points, PassPoint(rows=rows, steps=steps, auc=auc))
        if self.best == len(self.points) - 1:
            parts = {"weights": network.state_dict(), "optimizer": optimizer.state()}
            self.kept = {
                f"{part}.{name}": tensor.detach().to("cpu", copy=True)
                for part, named in parts.items()
                for name, tensor in named.items()
            }

    def _counted(self, network: Network, precision: Precision) -> Tensor:
        rows, device = no_rows(len(network.heads)), next(network.parameters()).device
        network.eval()
        with torch.no_grad():
            for batch in fed(self.batches(), device):
                logits = outputs_in(network, batch.inputs, bfloat16=precision == "bfloat16").logits
                count(rows, logits, batch.labels_BH, network.heads)
        network.train()
        return rows

    def restore(self, points: tuple[PassPoint, ...], kept: Mapping[str, Tensor]) -> None:
        """What a checkpoint holds."""
        self.points, self.kept = points, dict(kept)

    def give_back(self, network: Network, optimizer: Optimizer) -> PassPoint:
        """Put the best pass's weights and state in their place."""
        for part, load in (("weights.", network.load_state_dict), ("optimizer.", optimizer.load_state)):
            load({name.removeprefix(part): each for name, each in self.kept.items() if name.startswith(part)})
        return self.points[self.best]


def refuse_unjudged(network: Network, patience: int, held_out: HeldOut | None) -> HeldOut:
    """What passes are judged on. Raises ConfigError where there is none, or where tables are shared out over the
    processes: they are not kept twice.
    """
    if held_out is None:
        raise ConfigError(
            f"train.patience={patience}: no rows are held out to judge passes on; set window.catch_up_days to 1 "
            "or more, or calibration.kind to platt or isotonic, or drop it."
        )
    if apart := to_share_out(network):
        raise ConfigError(
            f"train.patience={patience}: {apart[0]} is shared out over the processes, and such tables are not kept "
            "twice; drop it, or unset MMOE_SHARD_ROWS."
        )
    return held_out
