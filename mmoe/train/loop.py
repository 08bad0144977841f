"""The training loop: batches in, an updated network and its loss curve out, from a checkpoint where there is one."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch

from mmoe.data.batch import Batch
from mmoe.data.order import Position
from mmoe.errors import TrainingError
from mmoe.model.network import Network
from mmoe.model.norms import running_statistics
from mmoe.train.device import Precision, fed, outputs_in, usable_precision
from mmoe.train.distributed import ALONE, Processes, Step
from mmoe.train.divergence import Broken, Steady, coin_loss, not_finite
from mmoe.train.objective import Objective, no_losses
from mmoe.train.optim import Optimizer, decay, warmup
from mmoe.train.passes import Passes
from mmoe.train.resume import Checkpoint, Checkpoints, Progressed, position_of, tensor_of
from mmoe.train.running import Running
from mmoe.train.sharding import shared_rows
from mmoe.train.spec import Progress, ReportProgress
from mmoe.train.state import CurvePoint, PassPoint

Stream = Callable[[Position], Iterable[Batch]]
"""The batches from a position on."""
CURVE_POINTS = 60
SECONDS_BETWEEN_REPORTS = 1.0


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a loop did, the runs before an interruption included."""

    rows: int
    steps: int
    precision: Precision
    """What the experts computed in."""
    curve: tuple[CurvePoint, ...]
    learned: int
    """Rows, those of passes after the best one included."""
    passes: tuple[PassPoint, ...]
    seconds: float
    resumed_at: int


@dataclass(kw_only=True)
class Loop:
    """Learns streams of batches one after the other. With `passes` each is one, is judged, and the best is kept.
    `progress` hears about once a second, and when all rows are done.

    `batch_size` and `rows_planned` are of all processes of the `group` together; each streams its own rows.
    """

    network: Network
    optimizer: Optimizer
    objective: Objective
    precision: Precision
    rows_planned: int
    batch_size: int
    seed: int
    checkpoints: Checkpoints
    group: Processes = ALONE
    warmup_share: float = 0.0
    decay_share: float = 0.0
    progress: ReportProgress | None = None
    passes: Passes | None = None
    _step: int = field(default=0, init=False)
    _rows: int = field(default=0, init=False)
    _position: Position = field(default_factory=Position, init=False)
    _steady: Steady = field(default_factory=Steady, init=False)
    _seconds_before: float = field(default=0.0, init=False)
    """Of the runs that were interrupted."""

    def __post_init__(self) -> None:
        self._running = Running(self.objective.heads, distilled=bool(self.objective.teacher_weights))
        self._coin = coin_loss(self.objective.head_weights, self.objective.heads)
        self._device = next(self.network.parameters()).device
        self._precision = usable_precision(self.precision, self._device)
        self._steps_planned = math.ceil(self.rows_planned / self.batch_size)
        self._started = self._reported = time.perf_counter()
        self._rows_before = 0
        self._shared = shared_rows(self.optimizer)
        self._statistics = running_statistics(self.network)

    def run(self, *streams: Stream) -> Fit:
        """Raises TrainingError, with a diagnosis, as soon as a gradient is not finite or the loss has exploded; the
        last checkpoint then holds the last good state. Raises CorruptionError for a damaged checkpoint.
        """
        self.network.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + self.group.rank)  # dropout
            self._restore(self.checkpoints.read(self._shared, self.group))
            for stream in streams[len(self.passes.points) if self.passes else 0 :]:
                if self.passes and self.passes.over:
                    self.rows_planned = self._rows
                    self._report()
                    break
                self._learn_all(stream)
                self._judge()
        if not self._running.empty:
            self._running.close(self._step, self._rows, self.group)
        kept = self.passes.give_back(self.network, self.optimizer) if self.passes else None
        self.group.refuse_difference(self.network.state_dict())
        self.network.eval()
        return Fit(
            rows=kept.rows if kept else self._rows,
            steps=kept.steps if kept else self._step,
            precision=self._precision,
            curve=tuple(point for point in self._running.points if not kept or point.step <= kept.steps),
            learned=self._rows,
            passes=self.passes.points if self.passes else (),
            seconds=self._seconds,
            resumed_at=self._rows_before,
        )

    def _learn_all(self, stream: Stream) -> None:
        every = max(1, self._steps_planned // CURVE_POINTS)
        for batch, step in self._together(fed(stream(self._position), self._device)):
            self._learn(batch, step)
            if self._step % every == 0:
                self._running.close(self._step, self._rows, self.group)
            if step.asked and self._steady.steady(self._coin):
                self._keep()

    def _judge(self) -> None:
        if self.passes:
            learned = {"rows": self._rows, "steps": self._step}
            self.passes.judge(self.network, self.optimizer, self.group, self._precision, **learned)

    @property
    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._started

    def _together(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch | None, Step]]:
        """Steps until no process has rows left; the first one asks for a checkpoint after a step."""
        heads, upcoming = len(self.objective.heads), iter(batches)
        while True:
            batch = next(upcoming, None)
            step = self.group.step(batch, heads, ask=self.group.leads and self.checkpoints.due(self._step + 1))
            if not step.rows:
                return
            yield batch, step

    def _learn(self, batch: Batch | None, together: Step) -> None:
        self.optimizer.zero_grad()
        outputs, losses = None, no_losses(len(self.objective.heads))
        if batch is not None:
            outputs = outputs_in(self.network, batch.inputs, bfloat16=self._precision == "bfloat16")
            losses = self.objective(outputs, batch, together.part)
            losses.total.backward()  # type: ignore[no-untyped-call]
        else:
            self.optimizer.idle()
        self.group.sum_gradients(self.optimizer)
        if together.part is not None:
            self.group.average(self._statistics, together.part.rows)
        losses = self.group.total(losses)
        fall = decay(self._rows, self.rows_planned, self.decay_share)
        scale = fall * warmup(self._step, self._steps_planned, self.warmup_share)
        norm, total = self.optimizer.step(scale, fall), losses.total.item()
        self._step += 1
        self._steady = self._steady.after(total, self._step, self._coin)
        if not (math.isfinite(norm) and math.isfinite(total)) or self._steady.exploded(self._coin):
            broken = Broken(
                step=self._step,
                batch=batch,
                logits={} if outputs is None else outputs.logits,
                losses=losses,
                heads=self.objective.heads,
                dense_lr=self.optimizer.dense_lr * scale,
                embedding_lr=self.optimizer.adagrad.lr * fall,
                norm=norm,
                steady=self._steady,
            )
            raise TrainingError(f"{broken.diagnosis()} {self._last_good_state()}")
        if batch is not None and outputs is not None:
            self._running.see(outputs, batch)
            self._position = batch.after
        self._rows += together.rows
        self._running.add(losses)
        self._report()

    def _last_good_state(self) -> str:
        path = self.checkpoints.path
        return f"The last good state is {path}." if path.is_file() else "No checkpoint had been written yet."

    def _report(self) -> None:
        now, done = time.perf_counter(), self._rows >= self.rows_planned
        if self.progress is None or (now - self._reported < SECONDS_BETWEEN_REPORTS and not done):
            return
        self._reported = now
        task, distillation, total = self._running.means()
        self.progress(
            Progress(
                rows=self._rows,
                rows_planned=self.rows_planned,
                loss=total,
                task=task,
                distillation=distillation if self._running.distilled else None,
                examples_per_second=(self._rows - self._rows_before) / (now - self._started),
                curve=tuple(self._running.points),
            )
        )

    def _keep(self) -> None:
        """Write a checkpoint. Raises TrainingError rather than keep a state with a weight that is not finite."""
        checkpoint = self._checkpoint()
        self.group.refuse_difference(checkpoint.part("weights") | checkpoint.part("optimizer"))
        self.checkpoints.write(checkpoint, self._shared, self.group)

    def _checkpoint(self) -> Checkpoint:
        parts = {
            "weights": self.network.state_dict(),
            "optimizer": self.optimizer.state(),
            "running": self._running.state(self.group),
            "best": self.passes.kept if self.passes else {},
        }
        if broken := not_finite(parts["weights"] | self._shared, self.group):
            raise TrainingError(
                f"step={self._step}: training has diverged: the weights {broken[0]} are not finite; lower dense_lr or "
                f"embedding_lr in params.yaml. {self._last_good_state()}"
            )
        tensors = {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
        progressed = Progressed(
            inputs=self.checkpoints.inputs,
            step=self._step,
            rows=self._rows,
            seconds=self._seconds,
            positions=tuple(map(position_of, self.group.gathered(tensor_of(self._position)))),
            steady=self._steady,
            points=tuple(self._running.points),
            passes=self.passes.points if self.passes else (),
        )
        return Checkpoint(
            progressed=progressed, tensors=tensors | {"random": torch.stack(self.group.gathered(torch.get_rng_state()))}
        )

    def _restore(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None:
            return
        progressed = checkpoint.progressed
        self.network.load_state_dict(checkpoint.part("weights"))
        self.optimizer.load_state(checkpoint.part("optimizer"))
        self._running.load_state(checkpoint.part("running"), progressed.points, self.group)
        if self.passes:
            self.passes.restore(progressed.passes, checkpoint.part("best"))
        self._step, self._rows, self._rows_before = progressed.step, progressed.rows, progressed.rows
        self._position, self._steady = progressed.positions[self.group.rank], progressed.steady
        self._seconds_before = progressed.seconds
        torch.set_rng_state(checkpoint.tensors["random"][self.group.rank].clone())  # a view is not read safely
