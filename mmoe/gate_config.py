"""The offline gate's rules as frozen objects: the `gate` part of params.yaml. No torch here."""

from typing import Self

from pydantic import Field, model_validator

from mmoe.parsing import Frozen


class ProfileConfig(Frozen):
    """One set of gate rules. Lifts are relative AUC: (challenger − champion) / champion; 0.001 is 0.1%.

    A rule passes when its interval lies above what must be proved, fails when it lies below what is refused, and is
    inconclusive otherwise.
    """

    min_lift: float
    """Mean lift of the primary heads that is asked for: an interval below it fails."""
    prove_lift: float
    """What the interval of that mean must lie above. 0 with min_lift 0.001: shown to be better, and +0.1% not ruled
    out."""
    slice_margin: float = Field(le=0)
    """Lift below which a head, overall or on a slice, counts as worse: an interval below it, after Holm, fails."""
    prove_slices: float | None = Field(le=0)
    """What each primary head's and slice's interval must lie above. None: they must only not be shown to be worse."""
    max_calibration_shift: float = Field(gt=0)
    """Largest growth of |log(predicted rate / observed rate)| against the champion's, on each head and slice."""
    max_score_shift: float = Field(default=0.25, gt=0)
    """Largest population stability index of a head's scores between champion and challenger, and between the champion
    corrected to the observed rate and the challenger: a head fails that exceeds it by both."""
    min_auc: float | None = Field(default=None, gt=0, lt=1)
    """Floor of a primary head's AUC, whatever the champion's."""
    max_normalised_entropy: float | None = Field(default=None, gt=0)
    """Ceiling of a primary head's normalised entropy; 1 is what knowing only the rate gives."""
    max_calibration_error: float | None = Field(default=None, gt=0)
    """Ceiling of a primary head's expected calibration error."""
    max_latency_ratio: float | None = Field(default=None, gt=0)
    """Challenger's serving latency over the champion's."""
    max_latency_ms: float | None = Field(default=None, gt=0)
    max_size_ratio: float | None = Field(default=None, gt=0)
    """Challenger's bundle over the champion's, in bytes."""
    max_size_mb: float | None = Field(default=None, gt=0)
    max_warned_share: float | None = Field(default=None, ge=0, le=1)
    """Share of the days that the challenger learned or is judged on that may carry data warnings."""
    max_model_age_days: int | None = Field(default=None, ge=0)
    """Days from the newest that the challenger learned to the newest that it is judged on."""

    @model_validator(mode="after")
    def _what_is_proved_is_not_refused(self) -> Self:
        if self.prove_lift > self.min_lift:
            raise ValueError(f"prove_lift={self.prove_lift}: more than min_lift={self.min_lift}; give at most that")
        if self.prove_slices is not None and self.prove_slices > self.slice_margin:
            raise ValueError(f"prove_slices={self.prove_slices}: above slice_margin={self.slice_margin}; lower it")
        return self


PROFILES = {
    "lift": ProfileConfig(
        min_lift=0.001, prove_lift=0.0, slice_margin=-0.001, prove_slices=-0.001, max_calibration_shift=0.1
    ),
    "parity": ProfileConfig(
        min_lift=-0.001, prove_lift=-0.001, slice_margin=-0.001, prove_slices=-0.001, max_calibration_shift=0.1
    ),
    "refresh": ProfileConfig(
        min_lift=-0.001, prove_lift=-0.01, slice_margin=-0.001, prove_slices=None, max_calibration_shift=0.2
    ),
}


class GateConfig(Frozen):
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    min_positives: int = Field(default=20, ge=1)
    """A slice with fewer positives or negatives is reported as too small, and proves nothing."""
    slice_loss: float = Field(default=0.003, gt=0)
    """Loss on one slice that must be found 95% of the time at the rows that the gate asks for."""
    slices: tuple[str, ...] = Field(default=("view_type",), strict=False)
    """Slice columns of the score sets that are judged; others are reported when asked for."""
    profiles: dict[str, ProfileConfig] = Field(default_factory=lambda: dict(PROFILES))
