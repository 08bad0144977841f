"""All that a promotion report says, as one plain object. Counts, digests and statistics; no row ever."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from mmoe.evaluate.metrics import Bin, HeadMetrics
from mmoe.evaluate.verdict import GateResult, Lift, Word
from mmoe.parsing import Frozen


class UsedDay(Frozen):
    """A day that a model learned from or was compared on."""

    day: date
    use: Literal["distilled", "trained", "held out"]
    rows: int | None
    """None where the partition is gone."""
    expired: bool
    warnings: tuple[str, ...] = Field(default=(), strict=False)


class Model(Frozen):
    """One side of the comparison."""

    version: str
    digest: str
    stage: str
    experts: tuple[str, ...] = Field(strict=False)
    parameters: int
    days: tuple[UsedDay, ...] = Field(strict=False)
    metrics: tuple[HeadMetrics, ...] = Field(strict=False)
    calibration: dict[str, tuple[Bin, ...]]
    """Calibration curve per head on the held-out rows."""

    @property
    def learned_through(self) -> date:
        """The newest day it was trained on: part of a lift may be freshness rather than architecture."""
        return max(used.day for used in self.days if used.use != "held out")


class Curve(Frozen):
    """A loss or AUC over the rows learned; `name` is loss/HEAD or auc/HEAD."""

    name: str
    points: tuple[tuple[float, float], ...] = Field(strict=False)


class Ancestor(Frozen):
    """A model whose knowledge the challenger has taken over."""

    version: str
    relation: str
    """`teacher`, `teacher of version 3`, or `version 3 started from it`."""
    stage: str
    first_day: date
    trained_through: date
    days: int
    """That this training read; what it started from read others."""
    expired: Literal["none", "some", "all"]
    """Of its own days, those behind the retention horizon."""


class Distillation(Frozen):
    teacher_version: str
    teacher_digest: str
    loss: str
    weight: float
    days: tuple[date, ...] = Field(strict=False)
    lineage: tuple[Ancestor, ...] = Field(default=(), strict=False)
    """The teacher, then what it started from and who taught it, and so on."""


class MixedPrecision(Frozen):
    """float32 and bfloat16 of the challenger, measured side by side in one run."""

    batch_size: int
    rounds: int
    threads: int
    native_bfloat16: bool
    float32_ms: float
    bfloat16_ms: float
    rows: int
    float32_auc: dict[str, float | None]
    bfloat16_auc: dict[str, float | None]
    summary: dict[str, float | None]
    """latency_ratio: bfloat16 over float32, median of paired rounds. auc_delta: mean over heads."""


class ServingCost(Frozen):
    """What serving takes, both models side by side in float32 on the same requests."""

    champion_ms: float
    """Median latency of a request."""
    challenger_ms: float
    champion_bytes: int
    """Of the bundle."""
    challenger_bytes: int


class Retention(Frozen):
    """What the ledger attests about data that no longer exists."""

    horizon: date | None
    expired_days: tuple[date, ...] = Field(strict=False)
    ledger_entries: int
    ledger_whole: bool


class Decision(Frozen):
    """The promotion that was decided from the report."""

    actor: str
    reason: str
    replaces: str | None
    at: datetime


class ReportSummary(Frozen):
    """What a list of reports shows of one: `summary.json`, a small file beside it."""

    report: str
    title: str
    kind: str
    verdict: Word
    profile: str
    version: str
    digest: str
    baseline_version: str
    champion_version: str
    days: tuple[date, ...] = Field(strict=False)
    """The held-out days."""
    overall: Lift | None
    source_run: str
    run_id: str
    """The MLflow run that trained the challenger."""


class Report(Frozen):
    """See each section's class. `report.json` is this object, `report.html` its rendering."""

    title: str
    report: str
    """Its id: the digest of the plan."""
    verdict: Literal["pass", "fail", "inconclusive"]
    version: str
    baseline_version: str
    champion_version: str
    """Champion when the run was planned; promotion requires that it still is."""
    source_run: str
    schema_name: str
    gate: GateResult
    challenger: Model
    champion: Model
    curves: tuple[Curve, ...] = Field(strict=False)
    gate_use: dict[str, dict[str, tuple[float, ...]]]
    """Mean gate weight of each expert, by head and view type; empty for a shared bottom."""
    distillation: Distillation | None
    mixed_precision: MixedPrecision
    serving: ServingCost
    retention: Retention
    reproduce: str
    """A command that trains and judges this model again, while its days are retained."""
    config: dict[str, Any]
    decision: Decision | None = None
    """None until it is promoted."""

    @property
    def warnings(self) -> list[tuple[date, str]]:
        """Of every day that either side learned or was judged on: the baseline is the teacher too."""
        days = {used.day: used for side in (self.champion, self.challenger) for used in side.days}
        return [(day, text) for day in sorted(days) for text in days[day].warnings]

    def summary(self, run_id: str) -> ReportSummary:
        return ReportSummary(
            report=self.report,
            title=self.title,
            kind=str(self.config["kind"]),
            verdict=self.verdict,
            profile=self.gate.profile,
            version=self.version,
            digest=self.challenger.digest,
            baseline_version=self.baseline_version,
            champion_version=self.champion_version,
            days=self.gate.days,
            overall=self.gate.lift(),
            source_run=self.source_run,
            run_id=run_id,
        )
