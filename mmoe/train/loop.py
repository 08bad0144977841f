# ruff: noqa: N803  (shapes in names)
"""The training loop: batches in, an updated network and its loss curve out."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from mmoe.data.batch import Batch
from mmoe.errors import TrainingError
from mmoe.model.gates import effective_experts, entropy
from mmoe.model.network import Network
from mmoe.train.objective import Losses, Objective
from mmoe.train.optim import Optimizer, warmup
from mmoe.train.progressive import Scored, aucs, scored
from mmoe.train.spec import Progress, ReportProgress
from mmoe.train.state import CurvePoint, GatePoint

Precision = Literal["bfloat16", "float32"]
CURVE_POINTS = 60


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a loop did."""

    rows: int
    steps: int
    precision: Precision
    """What the experts computed in."""
    curve: tuple[CurvePoint, ...]
    seconds: float


@dataclass(kw_only=True)
class Loop:
    """One pass over a stream of batches. `progress` hears as often as the curve gets a point."""

    network: Network
    optimizer: Optimizer
    objective: Objective
    precision: Precision
    rows_planned: int
    batch_size: int
    seed: int
    warmup_share: float = 0.0
    progress: ReportProgress | None = None
    _rows: int = field(default=0, init=False)
    _curve: list[CurvePoint] = field(default_factory=list, init=False)
    _pending: list[Losses] = field(default_factory=list, init=False)
    _scored: list[Scored] = field(default_factory=list, init=False)
    _gates: Tensor | None = field(default=None, init=False)
    """Of the last batch."""

    def run(self, batches: Iterable[Batch]) -> Fit:
        """Raises TrainingError, with a diagnosis, as soon as a gradient is not finite."""
        steps_planned = math.ceil(self.rows_planned / self.batch_size)
        every = max(1, steps_planned // CURVE_POINTS)
        started, step, precision = time.perf_counter(), 0, usable_precision(self.precision)
        self.network.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)  # dropout
            for step, batch in enumerate(batches, start=1):
                self._learn(batch, step, precision, warmup(step - 1, steps_planned, self.warmup_share))
                if step % every == 0:
                    self._report(step, time.perf_counter() - started)
        if self._pending:
            self._report(step, time.perf_counter() - started)
        self.network.eval()
        seconds = time.perf_counter() - started
        return Fit(rows=self._rows, steps=step, precision=precision, curve=tuple(self._curve), seconds=seconds)

    def _learn(self, batch: Batch, step: int, precision: Precision, scale: float) -> None:
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            outputs = self.network.outputs(batch.inputs)
        losses = self.objective(outputs, batch)
        losses.total.backward()  # type: ignore[no-untyped-call]
        norm = self.optimizer.step(scale)
        if not (math.isfinite(norm) and math.isfinite(losses.total.item())):
            raise TrainingError(_diagnosis(step, batch, outputs.logits, losses, self.objective.heads))
        self._rows += len(batch)
        self._pending.append(losses)
        self._scored.append(scored(outputs.logits, batch.labels_BH, self.objective.heads))
        self._gates = None if outputs.gates_TBE is None else outputs.gates_TBE.detach()

    def _report(self, step: int, seconds: float) -> None:
        task = torch.stack([losses.task for losses in self._pending]).mean(dim=0)
        distilled = torch.stack([losses.distillation for losses in self._pending]).mean()
        total = torch.stack([losses.total.detach() for losses in self._pending]).mean()
        self._pending.clear()
        self._curve.append(
            CurvePoint(
                step=step,
                rows=self._rows,
                task=dict(zip(self.objective.heads, task.tolist(), strict=True)),
                distillation=float(distilled) if self.objective.teacher_weights else None,
                gates=None if self._gates is None else gate_points(self._gates, self.objective.heads),
                auc=aucs(self._scored, self.objective.heads),
            )
        )
        self._scored.clear()
        if self.progress is not None:
            done, rate = self._rows, self._rows / seconds
            self.progress(
                Progress(rows=done, rows_planned=self.rows_planned, loss=float(total), examples_per_second=rate)
            )


def gate_points(gates_TBE: Tensor, heads: Sequence[str]) -> dict[str, GatePoint]:
    entropies, used = entropy(gates_TBE).mean(dim=1), effective_experts(gates_TBE.mean(dim=1))
    return {
        head: GatePoint(entropy=float(entropies[index]), experts=float(used[index])) for index, head in enumerate(heads)
    }


def usable_precision(wanted: Precision) -> Precision:
    """float32 where the CPU has no bfloat16 arithmetic: emulating it is 10 to 20 times slower than not using it."""
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return wanted if native else "float32"


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Compute on this many threads inside the block; 0 leaves the choice to PyTorch."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _diagnosis(step: int, batch: Batch, logits: dict[str, Tensor], losses: Losses, heads: tuple[str, ...]) -> str:
    broken = [head for head, loss in zip(heads, losses.task, strict=True) if not loss.isfinite()]
    if not batch.inputs.numeric_BN.isfinite().all():
        cause = "numeric features hold values that are not finite; ingest the days again"
    elif not all(logit.isfinite().all() for logit in logits.values()):
        cause = "the network's own output is not finite; lower dense_lr or embedding_lr in params.yaml"
    elif broken:
        cause = f"the loss of {', '.join(broken)} is not finite; check its labels and head_weights in params.yaml"
    elif not losses.distillation.isfinite():
        cause = "the distillation loss is not finite; score the teacher's days again or lower distillation.weight"
    else:
        cause = "a gradient overflowed; lower dense_lr or clip_norm in params.yaml"
    return f"step={step}: training has diverged: {cause}."
