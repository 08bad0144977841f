"""What the gate says, as plain data: a verdict, and a reason per rule."""

from datetime import date
from typing import Literal

from pydantic import Field

from mmoe.evaluate.metrics import HeadMetrics
from mmoe.parsing import Frozen

Word = Literal["pass", "fail", "inconclusive"]
Side = Literal["champion", "challenger"]
VIEW_TYPE = "view_type"


class Lift(Frozen):
    """Challenger against champion on one slice, paired on the same rows."""

    head: str | None
    """None: the mean over the primary heads."""
    slice_by: str | None = None
    """Slice column, such as view_type; None: all rows."""
    slice: str | None = None
    """Value of that column."""
    champion_auc: float | None
    challenger_auc: float | None
    lift: float | None
    """challenger / champion - 1; None where the slice is too small to tell."""
    low: float | None
    """Interval that rules read: rows of a cluster may depend on each other."""
    high: float | None
    standard_error: float | None = None
    freedom: float | None = None
    """Degrees of freedom of that interval; None: so many that they do not matter."""
    delong: tuple[float, float] | None = Field(default=None, strict=False)
    """The interval were all rows independent (DeLong et al. 1988): too narrow where a cluster has many rows."""
    bootstrap: tuple[float, float] | None = Field(default=None, strict=False)
    """Percentile interval of a bootstrap over clusters."""
    detectable: float | None = None
    """Minimum detectable effect: the true lift that these rows would show with 80% power."""
    rows: int
    positives: int
    clusters: int | None = None

    @property
    def place(self) -> str:
        """`click on search`, `click on hour 13`, or nothing for the mean."""
        return place_of(self.head, self.slice_by, self.slice)


class Calibration(Frozen):
    """Predicted over observed rate of a head on a slice, for both models."""

    head: str
    slice_by: str | None = None
    slice: str | None = None
    champion: float
    challenger: float
    error: float = 0.0
    """Standard error of the logarithm of both, which share the observed rate: 1/√positives."""


class Finding(Frozen):
    """One rule, applied."""

    rule: str
    head: str | None = None
    slice_by: str | None = None
    slice: str | None = None
    verdict: Word
    reason: str

    @property
    def place(self) -> str:
        """What it is about, if anything in particular."""
        return place_of(self.head, self.slice_by, self.slice)


class GateResult(Frozen):
    verdict: Word
    profile: str
    confidence: float
    min_lift: float
    slice_margin: float
    days: tuple[date, ...] = Field(strict=False)
    rows: int
    rows_planned: int | None = None
    """Rows at which this profile's characteristics hold: what it asks for passes, and a slice's loss is found."""
    rows_needed: int | None = None
    """Rows that would probably settle an inconclusive verdict; always more than `rows`."""
    champion_digest: str
    challenger_digest: str
    findings: tuple[Finding, ...] = Field(strict=False)
    lifts: tuple[Lift, ...] = Field(strict=False)
    calibration: tuple[Calibration, ...] = Field(strict=False)
    metrics: dict[Side, tuple[HeadMetrics, ...]] = Field(default_factory=dict)

    unjudged: tuple[str, ...] = Field(default=(), strict=False)
    """Rules of the profile that score sets alone cannot answer."""

    def lift(self, head: str | None = None, view_type: str | None = None) -> Lift | None:
        """The lift of a head (None: the primary heads' mean), over all rows or on a view type."""
        place = (head, None if view_type is None else VIEW_TYPE, view_type)
        return next((lift for lift in self.lifts if (lift.head, lift.slice_by, lift.slice) == place), None)


def place_of(head: str | None, slice_by: str | None, value: str | None) -> str:
    return " on ".join(part for part in (head, slice_name(slice_by, value)) if part)


def slice_name(slice_by: str | None, value: str | None) -> str | None:
    """View types by their name alone, other slices after their column's."""
    if value is None or slice_by == VIEW_TYPE:
        return value
    return f"{slice_by} {value}"


def overall(findings: tuple[Finding, ...]) -> Word:
    """fail if any rule fails, else inconclusive if any is, else pass; no rule at all proves nothing."""
    words = {finding.verdict for finding in findings}
    if "fail" in words:
        return "fail"
    return "inconclusive" if "inconclusive" in words or not words else "pass"
