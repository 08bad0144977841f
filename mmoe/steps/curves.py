"""Curves of a training by rows learned: of all its stages when it is done, and in MLflow already while it goes on."""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import typer

from mmoe.errors import MmoeError, RegistryError
from mmoe.registry import Registry
from mmoe.settings import Settings
from mmoe.steps.context import Context
from mmoe.steps.plan import Plan
from mmoe.steps.progress import speaker
from mmoe.train.spec import Progress, ReportProgress
from mmoe.train.state import CurvePoint, TrainState

SECONDS_BETWEEN_CURVES = 15.0
Points = Iterable[tuple[int, CurvePoint]]
"""Each with the rows learned until then, in all stages."""
Curves = dict[str, list[tuple[int, float]]]


def curve_points(state: TrainState) -> Iterator[tuple[int, CurvePoint]]:
    before = 0
    for stage in state.stages:
        yield from ((before + point.rows, point) for point in stage.curve)
        before += stage.rows


def curves(points: Points) -> Curves:
    """Losses and AUC."""
    found: Curves = {}
    for rows, point in points:
        for head, loss in point.task.items():
            found.setdefault(f"loss/{head}", []).append((rows, loss))
        if point.distillation is not None:
            found.setdefault("loss/distillation", []).append((rows, point.distillation))
        for head, auc in (point.auc or {}).items():
            if auc is not None:
                found.setdefault(f"auc/{head}", []).append((rows, auc))
    return found


def gate_curves(points: Points) -> Curves:
    """Entropy of each head's gate and the effective number of its experts."""
    found: Curves = {}
    for rows, point in points:
        for head, gate in (point.gates or {}).items():
            found.setdefault(f"gate_entropy/{head}", []).append((rows, gate.entropy))
            found.setdefault(f"experts_used/{head}", []).append((rows, gate.experts))
    return found


def pass_curves(state: TrainState) -> Curves:
    """AUC on held-out rows after each pass of a batch training, where its best pass was kept."""
    found: Curves = {}
    for point in state.stages[0].passes:
        for head, auc in point.auc.items():
            if auc is not None:
                found.setdefault(f"held_out_auc/{head}", []).append((point.rows, auc))
    return found


def all_curves(state: TrainState) -> Curves:
    """Those of a finished training."""
    points = tuple(curve_points(state))
    return curves(points) | gate_curves(points) | pass_curves(state)


@contextmanager
def told(context: Context, plan: Plan, stage: str, *, before: int = 0) -> Iterator[ReportProgress]:
    """Tells of a training: a line, and its curves in MLflow, where a training that fails leaves a failed run.

    `before` are the rows of earlier stages. A reproduction leaves no run.
    """
    speak = speaker()
    if plan.original is not None:
        yield speak
        return
    live = LiveCurves(context.settings, live_key(plan, stage), f"{plan.kind} {stage} in training", before)

    def tell(progress: Progress) -> None:
        speak(progress)
        live.see(progress.curve)

    try:
        yield tell
    except MmoeError:
        live.fail()
        raise
    finally:
        live.close()


def live_key(plan: Plan, stage: str) -> str:
    return f"{plan.digest} {stage}"


class LiveCurves:
    """Logs new points now and then, on a thread of its own: a slow MLflow, or none, holds no training up."""

    def __init__(self, settings: Settings, key: str, name: str, before: int) -> None:
        self.settings, self.key, self.name, self.before = settings, key, name, before
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mmoe-curves")
        self._sent: Future[None] | None = None
        self._last, self._logged = time.monotonic(), 0

    def see(self, curve: Sequence[CurvePoint]) -> None:
        busy = self._sent is not None and not self._sent.done()
        if busy or len(curve) == self._logged or time.monotonic() - self._last < SECONDS_BETWEEN_CURVES:
            return
        self._last = time.monotonic()
        self._sent = self._thread.submit(self._log, tuple(curve))

    def fail(self) -> None:
        if self._sent is not None:
            self._thread.submit(self._fail)

    def close(self) -> None:
        """Wait for what is under way. What is not logged by then is logged with the finished training."""
        self._thread.shutdown()

    def _log(self, curve: Sequence[CurvePoint]) -> None:
        points = [(self.before + point.rows, point) for point in curve[self._logged :]]
        try:
            Registry(self.settings).log_live(self.key, self.name, curves(points) | gate_curves(points))
        except RegistryError as error:
            typer.echo(f"no curves in MLflow yet: {error}", err=True)
            return
        self._logged = len(curve)

    def _fail(self) -> None:
        try:
            Registry(self.settings).fail_live(self.key)
        except RegistryError as error:
            typer.echo(f"the run in MLflow still seems to go on: {error}", err=True)
