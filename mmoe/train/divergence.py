"""When a training has gone wrong, and what to say of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmoe.data.batch import Batch
from mmoe.parsing import Frozen
from mmoe.train.distributed import Processes
from mmoe.train.objective import Losses
from mmoe.train.tensors import pieces

SMOOTHING = 0.9
EXPLODED, STEADY = 10.0, 2.0
"""Smoothed loss over the lowest one so far at which training stops, and up to which its state is worth keeping."""


class Steady(Frozen):
    """How the loss has been: an exponential mean with weight 0.9 on what came before, and its lowest value."""

    smoothed: float = math.nan
    lowest: float = math.inf
    good_step: int = 0
    """The last step at which the state was worth keeping, and the smoothed loss there."""
    good_loss: float = math.nan

    def after(self, loss: float, step: int, coin: float) -> "Steady":
        """With the loss of one more step. `coin` is what a model that knows nothing loses, see `exploded`."""
        smoothed = loss if math.isnan(self.smoothed) else SMOOTHING * self.smoothed + (1 - SMOOTHING) * loss
        heard = self.model_copy(update={"smoothed": smoothed, "lowest": min(self.lowest, smoothed)})
        return heard.model_copy(update={"good_step": step, "good_loss": smoothed}) if heard.steady(coin) else heard

    def steady(self, coin: float) -> bool:
        return self.smoothed <= max(STEADY * self.lowest, coin)

    def exploded(self, coin: float) -> bool:
        """Ten times the lowest loss, and more than a coin's: a rare head's loss may grow much and still be small."""
        return not self.smoothed <= max(EXPLODED * self.lowest, coin)


def coin_loss(head_weights: Mapping[str, float], heads: tuple[str, ...]) -> float:
    """Task loss of predicting 0.5 everywhere, at least that of one head: Σ weight · ln 2."""
    return max(1.0, sum(head_weights.get(head, 1.0) for head in heads)) * math.log(2)


def not_finite(weights: Mapping[str, Tensor], group: Processes) -> list[str]:
    """Names of those that are not, as any process holds them; the same on all."""
    found = [not all(bool(piece.isfinite().all()) for piece in pieces(tensor)) for tensor in weights.values()]
    counts = group.summed(torch.tensor(found, dtype=torch.int64)).tolist()
    return [name for name, count in zip(weights, counts, strict=True) if count]


@dataclass(frozen=True, kw_only=True)
class Broken:
    """The step at which a training broke."""

    step: int
    batch: Batch | None
    """None on a process whose rows are used up."""
    logits: Mapping[str, Tensor]
    losses: Losses
    heads: tuple[str, ...]
    dense_lr: float
    embedding_lr: float
    norm: float
    """Of the dense gradients, before clipping."""
    steady: Steady

    def diagnosis(self) -> str:
        """Cause and fix first, then the numbers."""
        losses = ", ".join(f"{h} {v:.4g}" for h, v in zip(self.heads, self.losses.task.tolist(), strict=True))
        good = f"{self.steady.good_loss:.4g} at step {self.steady.good_step}" if self.steady.good_step else "none"
        return (
            f"step={self.step}: training has diverged: {self._cause()}. Losses: {losses}, distillation "
            f"{float(self.losses.distillation):.4g}, total {float(self.losses.total.detach()):.4g} (last good one: "
            f"{good}); gradient norm {self.norm:.4g}; learning rates: dense {self.dense_lr:.4g}, embeddings "
            f"{self.embedding_lr:.4g}."
        )

    def _cause(self) -> str:
        silent = [head for head, logit in self.logits.items() if not logit.isfinite().all()]
        broken = [head for head, loss in zip(self.heads, self.losses.task, strict=True) if not loss.isfinite()]
        if self.batch is not None and not self.batch.inputs.numeric_BN.isfinite().all():
            return "numeric features hold values that are not finite; ingest the days again"
        if silent:
            return (
                f"the network's own output for {', '.join(silent)} is not finite; lower dense_lr or embedding_lr in "
                "params.yaml"
            )
        if broken:
            return f"the loss of {', '.join(broken)} is not finite; check its labels and head_weights in params.yaml"
        if not self.losses.distillation.isfinite():
            return "the distillation loss is not finite; score the teacher's days again or lower distillation.weight"
        if not math.isfinite(self.norm):
            return "a gradient overflowed; lower dense_lr or clip_norm in params.yaml"
        worst = max(zip(self.heads, self.losses.task.tolist(), strict=True), key=lambda pair: pair[1])[0]
        return (
            f"the loss, smoothed {self.steady.smoothed:.4g}, is over {EXPLODED:.0f} times its lowest, "
            f"{self.steady.lowest:.4g}, {worst} being the worst head; lower dense_lr or embedding_lr in params.yaml"
        )
