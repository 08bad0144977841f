"""What the gate says, as plain data: a verdict, and a reason per rule."""

from datetime import date
from typing import Literal

from pydantic import Field

from mmoe.parsing import Frozen

Word = Literal["pass", "fail", "inconclusive"]


class Lift(Frozen):
    """Challenger against champion on one slice, paired on the same rows."""

    head: str | None
    """None: the mean over the primary heads."""
    view_type: str | None
    """None: all view types."""
    champion_auc: float | None
    challenger_auc: float | None
    lift: float | None
    """challenger / champion - 1; None where the slice is too small to tell."""
    low: float | None
    high: float | None
    rows: int
    positives: int
    rows_needed: int | None = None
    """Rows at which the interval would probably lie clear of the bound that it straddles now; None where it does."""


class Calibration(Frozen):
    """Predicted over observed rate of a head, for both models."""

    head: str
    champion: float
    challenger: float


class Finding(Frozen):
    """One rule, applied."""

    rule: str
    head: str | None = None
    view_type: str | None = None
    verdict: Word
    reason: str


class GateResult(Frozen):
    verdict: Word
    profile: str
    confidence: float
    min_lift: float
    slice_margin: float
    days: tuple[date, ...] = Field(strict=False)
    rows: int
    champion_digest: str
    challenger_digest: str
    findings: tuple[Finding, ...] = Field(strict=False)
    lifts: tuple[Lift, ...] = Field(strict=False)
    calibration: tuple[Calibration, ...] = Field(strict=False)

    def lift(self, head: str | None = None, view_type: str | None = None) -> Lift | None:
        return next((lift for lift in self.lifts if (lift.head, lift.view_type) == (head, view_type)), None)


def overall(findings: tuple[Finding, ...]) -> Word:
    """fail if any rule fails, else inconclusive if any is, else pass; no rule at all proves nothing."""
    words = {finding.verdict for finding in findings}
    if "fail" in words:
        return "fail"
    return "inconclusive" if "inconclusive" in words or not words else "pass"
