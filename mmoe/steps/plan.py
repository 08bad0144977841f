"""A plan fixes everything a training run depends on; every later step takes its digest and nothing else.

Because the digest covers days, manifest digests, champion and parameters, a step that runs twice does the same work on
the same inputs, and a step whose inputs have changed is another plan.
"""

import hashlib
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from mmoe.config import Params
from mmoe.errors import CorruptionError, TrainingError
from mmoe.model_config import ModelConfig
from mmoe.parsing import Frozen
from mmoe.settings import Settings
from mmoe.steps.provenance import Provenance


class DayRef(Frozen):
    """A published partition, by content."""

    day: date
    digest: str


class ModelRef(Frozen):
    """A registered version, by content."""

    version: str
    digest: str
    trained_through: date


class Original(Frozen):
    """The registered version that a plan makes again, and how it was made."""

    version: str
    digest: str
    made_by: Provenance


class Plan(Frozen):
    """What one run trains, compares and may promote."""

    kind: Literal["bootstrap", "batch", "incremental"]
    schema_name: str
    schema_fingerprint: str
    champion: ModelRef | None
    """The champion when the plan was made: promotion requires that it still is."""
    baseline: ModelRef | None
    """Whom the gate compares with and who teaches: the champion, or its newest ancestor that has not trained on the
    held-out days."""
    train_days: tuple[DayRef, ...] = Field(strict=False)
    """batch: distilled days. bootstrap: all days. incremental: none."""
    catch_up_days: tuple[DayRef, ...] = Field(strict=False)
    """Days learned in order without distillation."""
    replay_days: tuple[DayRef, ...] = Field(default=(), strict=False)
    """incremental: earlier days of which a part is learned again among the catch-up days."""
    holdout_days: tuple[DayRef, ...] = Field(strict=False)
    holdout_share: float | None = None
    """incremental: share of the newest day's groups that training leaves out and the gate evaluates."""
    profile: str | None
    distilled: bool
    model: ModelConfig
    params: Params
    pin: str | None = None
    """Digest of the pinned window of an experiment. Experiments are logged but never registered."""
    original: Original | None = None
    """The version that this experiment must make again, bit for bit."""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:20]

    @property
    def learned_days(self) -> tuple[DayRef, ...]:
        """Every day that it reads to train on, replayed ones first."""
        return (*self.replay_days, *self.train_days, *self.catch_up_days)

    @property
    def trained_through(self) -> date:
        return max(ref.day for ref in (*self.train_days, *self.catch_up_days))

    @property
    def as_of(self) -> date:
        """The day after the newest one that it learns or is judged on."""
        return max(ref.day for ref in (*self.train_days, *self.catch_up_days, *self.holdout_days)) + timedelta(days=1)

    @property
    def config(self) -> dict[str, Any]:
        """What was chosen, without the days and versions that it was applied to."""
        return self.model_dump(mode="json", include={"kind", "model", "params", "distilled", "holdout_share"})

    def folder(self, settings: Settings) -> Path:
        return settings.work / self.digest

    def save(self, settings: Settings) -> Self:
        folder = self.folder(settings)
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / "plan.tmp"
        aside.write_text(self.model_dump_json(indent=1))
        aside.replace(folder / "plan.json")
        return self


def load_plan(settings: Settings, digest: str) -> Plan:
    """Raises TrainingError if no such plan was made here, CorruptionError if its file was changed."""
    path = settings.work / digest / "plan.json"
    if not path.is_file():
        raise TrainingError(f"plan={digest!r}: no such plan under {settings.work}; make one with `mmoe plan`.")
    try:
        plan = Plan.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CorruptionError(f"{path}: not a plan; make a new one with `mmoe plan`.") from error
    if plan.digest != digest:
        raise CorruptionError(f"{path}: content has digest {plan.digest}, not {digest}; make a new plan.")
    return plan
