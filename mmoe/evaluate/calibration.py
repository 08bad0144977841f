"""Calibrators: what turns a trained model's logits into probabilities that come true. No torch here.

One strictly increasing map per head and view type, so that no order inside a view type changes. Fitted on rows that the
model has not learned. Arrays are (N,): logits, and labels of 0, 1, or NaN where not final.
"""

from datetime import date
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mmoe.config import CalibrationConfig
from mmoe.data.scores import DayScores
from mmoe.evaluate.ranking import Floats, probabilities
from mmoe.evaluate.ties import Doubles
from mmoe.parsing import Frozen
from mmoe.schema import VIEW_TYPE

BINS, ROWS_A_BIN = 200, 25
"""Isotonic: at most this many bins of at least this many rows are pooled."""
ROUNDING = 1e-9
"""Knots this close are one: a difference that rounds away would make a map flat."""


class Platt(Frozen):
    """Calibrated logit = slope · logit + intercept (Platt 1999). Slope 1 and intercept 0 leave it as it is."""

    kind: Literal["platt"] = "platt"
    slope: float = Field(default=1.0, gt=0)
    intercept: float = 0.0
    positives: int = 0
    rows: int = 0
    """That it was fitted on; 0 where there were too few."""

    def apply(self, logits: Floats) -> Doubles:
        return self.slope * logits.astype(np.float64) + self.intercept


class Isotonic(Frozen):
    """Calibrated logit: linear between the knots, of slope 1 beyond them."""

    kind: Literal["isotonic"] = "isotonic"
    logits: tuple[float, ...] = Field(min_length=1, strict=False)
    calibrated: tuple[float, ...] = Field(min_length=1, strict=False)
    """Strictly increasing, as are `logits`."""
    positives: int
    rows: int

    def apply(self, logits: Floats) -> Doubles:
        x, y = np.array(self.logits), np.array(self.calibrated)
        beyond = np.minimum(logits - x[0], 0) + np.maximum(logits - x[-1], 0)
        return np.asarray(np.interp(logits, x, y) + beyond, dtype=np.float64)


CalibrationMap = Annotated[Platt | Isotonic, Field(discriminator="kind")]


class Calibrator(Frozen):
    """calibrator.json of a bundle."""

    format: Literal[1] = 1
    day: date
    """Whose rows it was fitted on."""
    model_digest: str
    """Whose logits."""
    maps: dict[str, dict[str, CalibrationMap]]
    """head -> view type -> map."""

    def apply(self, head: str, logits: Floats, view_type: np.ndarray, names: tuple[str, ...]) -> Floats:
        """(N,) logits and indices into `names` -> (N,) calibrated. A head or view type without a map is left alone."""
        calibrated = np.array(logits, dtype=np.float32)
        for code, name in enumerate(names):
            own = self.maps[head].get(name) if head in self.maps else None
            if own is not None:
                rows = view_type == code
                calibrated[rows] = own.apply(logits[rows])
        return calibrated


def fit_calibrator(scores: DayScores, view_types: tuple[str, ...], config: CalibrationConfig) -> Calibrator:
    """Fit every head and view type. One with fewer than `min_positives` of a class takes its head's map over all view
    types; a head with too few of them is left as it is.
    """
    view_type = scores.slices[VIEW_TYPE].to_numpy(zero_copy_only=False)
    maps = {}
    for head in scores.heads:
        labels, logits = scores.labels[head], scores.logits[head]
        whole = fit_map(labels, logits, config) or Platt()
        maps[head] = {
            name: fit_map(labels[view_type == name], logits[view_type == name], config) or whole for name in view_types
        }
    return Calibrator(day=scores.day, model_digest=scores.model_digest, maps=maps)


def fit_map(labels: Floats, logits: Floats, config: CalibrationConfig) -> Platt | Isotonic | None:
    """None where a class has fewer than `min_positives` rows."""
    final = ~np.isnan(labels)
    known, scored = labels[final].astype(np.float64), logits[final].astype(np.float64)
    if min(known.sum(), (1 - known).sum()) < config.min_positives:
        return None
    return fit_isotonic(known, scored) if config.kind == "isotonic" else fit_platt(known, scored)


def fit_platt(labels: Doubles, logits: Doubles) -> Platt:
    """Newton's method on the cross-entropy of Platt's smoothed targets (n₊ + 1)/(n₊ + 2) and 1/(n₋ + 2).

    A slope that is not positive would turn the ranking round: then the level alone is fitted.
    """
    positives, rows = int(labels.sum()), len(labels)
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (rows - positives + 2))
    slope, intercept = newton(np.stack([logits, np.ones(rows)]), targets, np.zeros(rows), np.array([1.0, 0.0]))
    if slope <= 0:
        slope, (intercept,) = 1.0, newton(np.ones((1, rows)), targets, logits, np.array([0.0]))
    return Platt(slope=float(slope), intercept=float(intercept), positives=positives, rows=rows)


def newton(x: Doubles, targets: Doubles, offset: Doubles, start: Doubles) -> Doubles:
    """Weights (K,) that minimise the cross-entropy of σ(wᵀx + offset), x being (K, N); steps are halved until they
    descend."""

    def loss(w: Doubles) -> float:
        z = w @ x + offset
        return float(np.mean(np.logaddexp(0, z) - targets * z))

    weights, now = start, loss(start)
    for _ in range(100):
        p = probabilities(weights @ x + offset)
        gradient, curvature = x @ (p - targets), (x * (p * (1 - p))) @ x.T
        step = np.linalg.solve(curvature + 1e-12 * np.eye(len(weights)), gradient)
        scale = 1.0
        while scale > 1e-10 and loss(weights - scale * step) > now:
            scale /= 2
        weights = weights - scale * step
        before, now = now, loss(weights)
        if before - now < 1e-12:
            break
    return weights


def fit_isotonic(labels: Doubles, logits: Doubles) -> Isotonic:
    """Pool-adjacent-violators on bins of equal counts, each with one row of the overall rate beside its own."""
    order, overall = np.argsort(logits, kind="stable"), labels.mean()
    bins = np.array_split(order, max(1, min(BINS, len(order) // ROWS_A_BIN)))
    blocks = [
        (float(len(rows)), float(logits[rows].mean()), float((labels[rows].sum() + overall) / (len(rows) + 1)))
        for rows in bins
    ]
    pooled = pool_adjacent_violators(blocks)
    rates = np.array([rate for _, _, rate in pooled])
    return Isotonic(
        logits=tuple(logit for _, logit, _ in pooled),
        calibrated=tuple(float(value) for value in np.log(rates) - np.log1p(-rates)),
        positives=int(labels.sum()),
        rows=len(labels),
    )


def pool_adjacent_violators(blocks: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """(weight, x, y) in order of x → the same, merged until x and y both strictly increase; means are weighted."""
    pooled: list[tuple[float, float, float]] = []
    for block in blocks:
        weight, x, y = block
        while pooled and (pooled[-1][2] >= y - ROUNDING or pooled[-1][1] >= x - ROUNDING):
            other, x_before, y_before = pooled.pop()
            both = weight + other
            x, y, weight = (weight * x + other * x_before) / both, (weight * y + other * y_before) / both, both
        pooled.append((weight, x, y))
    return pooled
