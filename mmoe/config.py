"""WHAT to train and gate: params.yaml as frozen objects. No torch here, so DAG files may read it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmoe.errors import ConfigError
from mmoe.gate_config import GateConfig
from mmoe.model_config import ModelConfig
from mmoe.parsing import Frozen, parse, read_yaml


class OptimizerConfig(Frozen):
    dense_lr: float = Field(default=2e-3, gt=0)
    embedding_lr: float = Field(default=0.05, gt=0)
    embedding_l2: float = Field(default=0.0, ge=0)
    """λ of the penalty λ/2·‖w‖² on each embedding row that a step's batch reads. For logs that are learned in many
    passes, which are overfitted in a few without it."""
    weight_decay: float = Field(default=1e-5, ge=0)
    """Of the weights of all other layers, beside their gradients."""
    clip_norm: float = Field(default=10.0, gt=0)
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the dense learning rate rises from 0."""
    decay_share: float = Field(default=0.0, ge=0, le=1)
    """Share of a batch training's rows, the last ones of all its epochs, over which both learning rates fall to 0."""


class TrainConfig(Frozen):
    batch_size: int = Field(default=2048, ge=1)
    epochs: int = Field(default=1, ge=1)
    """Passes over the days of a batch training."""
    patience: int | None = Field(default=None, ge=1)
    """Judge each of these passes on held-out rows, keep the best by the mean of the heads' AUC, and end after so many
    that are no better; absent: all passes, of which the last is kept."""
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    shuffle_rows: int = Field(default=200_000, ge=1)
    """Rows held in the shuffle buffer."""
    balance: float = Field(default=0.0, ge=0)
    """Weight of the load regularisation of the gates; 0: none."""
    optimizer: OptimizerConfig = OptimizerConfig()

    @model_validator(mode="after")
    def _has_passes_to_choose_from(self) -> Self:
        if self.patience is not None and self.epochs == 1:
            raise ValueError(f"patience={self.patience}: of epochs=1 there is one to keep; raise epochs, or drop it")
        return self


class ReplayConfig(Frozen):
    """Earlier days of which a daily update learns a part again, spread evenly among the new rows."""

    days: int = Field(ge=1)
    """How many, the newest first: days that the model has learned and that are still retained."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Share of their groups, drawn anew for each update."""


class IncrementalConfig(Frozen):
    dense_lr: float = Field(default=5e-4, gt=0)
    embedding_lr: float = Field(default=0.02, gt=0)
    holdout_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the newest day's groups that a daily update leaves out, for its refresh gate."""
    replay: ReplayConfig | None = None
    """Absent: new days alone."""


class DistillationConfig(Frozen):
    enabled: bool = True
    loss: Literal[
        "pairwise_logistic",
        "pairwise_squared",
        "pairwise_absolute",
        "pairwise_margin",
        "listwise_softmax",
        "pointwise_bce",
        "logit_mse",
    ] = "pairwise_logistic"
    weight: float = Field(default=0.1, ge=0)
    """Factor on the distillation loss beside the task loss, for every head not named in head_weights."""
    head_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    temperature: float = Field(default=1.0, gt=0)
    """What logits are divided by, for every head not named in head_temperatures."""
    head_temperatures: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)


class CalibrationConfig(Frozen):
    """The calibrator that is fitted after training, one map per head and view type: it serves, but never teaches."""

    kind: Literal["platt", "isotonic", "none"] = "platt"
    share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the newest learned day's groups that training leaves out, to fit the calibrator on."""
    min_positives: int = Field(default=400, ge=1)
    """Rows of each class that a view type's own map needs; with fewer it takes its head's. A level fitted on n
    positives is uncertain by 1/√n: 400 is 5%, what a trained model is often off by without any calibrator."""


class WindowConfig(Frozen):
    """Days before the as-of date, newest last: [train_days][catch_up_days][holdout_days]."""

    train_days: int = Field(default=10, ge=1)
    catch_up_days: int = Field(default=2, ge=0)
    holdout_days: int = Field(default=1, ge=1)


class RetentionConfig(Frozen):
    """How long rows, and parts of them, may be kept. All are whole days before the as-of date."""

    days: int = Field(default=14, ge=1)
    """A partition older than this expires."""
    view_types: dict[str, int] = Field(default_factory=dict)
    """View type -> days, where its rows must go earlier than the rest of their day."""
    labels: dict[str, int] = Field(default_factory=dict)
    """Label -> days after which it becomes null (masked) in rows that stay."""
    max_share: float = Field(default=0.5, gt=0, le=1)
    """Largest share of the lake's partitions, or of its rows, that one run may delete without a confirmation."""
    max_model_age_days: int | None = Field(default=None, ge=1)
    """Days since the oldest day that a model's weights have learned, beyond which it may not teach, be continued
    or be promoted, or be rolled back to; absent: no limit."""
    rollback_beyond_max_age: bool = False
    """Whether a rollback, which ends an emergency, may reach a model beyond `max_model_age_days` all the same."""

    @model_validator(mode="after")
    def _parts_expire_before_the_whole(self) -> Self:
        for kind, horizons in (("view_types", self.view_types), ("labels", self.labels)):
            for name, days in horizons.items():
                if not 1 <= days <= self.days:
                    raise ValueError(
                        f"{kind}.{name}={days}: must lie between 1 and days={self.days}; what may be kept as long as "
                        "its day needs no entry"
                    )
        return self


class MonitorConfig(Frozen):
    """When `mmoe watch` raises an alarm."""

    max_age_days: int = Field(default=3, ge=0)
    """Whole days, up to the one before the look, that the champion may not have learned."""
    max_calibration_error: float = Field(default=0.25, gt=0)
    """Largest deviation of a head's predicted over observed rate from 1, in either direction."""
    max_score_shift: float = Field(default=0.25, gt=0)
    """Largest population stability index of a head's predictions against the day before."""
    min_positives: int = Field(default=100, ge=1)
    """A head with fewer positives on the day is not judged."""
    look_back_days: int = Field(default=7, ge=1)
    """How far back a missed day raises an alarm."""


class ServeConfig(Frozen):
    batch_size: int = Field(default=512, ge=1)
    """Rows a request, for latency measurements."""
    rounds: int = Field(default=60, ge=1)
    """Paired timings of the float32 and the bfloat16 export."""


class Params(Frozen):
    """All of params.yaml."""

    seed: int = 17
    baseline: ModelConfig
    model: ModelConfig
    head_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Factor on a head's task loss; 1 for heads not named."""
    train: TrainConfig = TrainConfig()
    incremental: IncrementalConfig = IncrementalConfig()
    distillation: DistillationConfig = DistillationConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    window: WindowConfig = WindowConfig()
    retention: RetentionConfig = RetentionConfig()
    gate: GateConfig
    monitor: MonitorConfig = MonitorConfig()
    serve: ServeConfig = ServeConfig()


def load_params(path: Path) -> Params:
    """Read params.yaml. Raises ConfigError naming the field, its value and what is allowed."""
    return parse(Params, read_yaml(path, ConfigError), str(path), ConfigError)
