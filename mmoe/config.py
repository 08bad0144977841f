"""WHAT to train and gate: params.yaml as frozen objects. No torch here, so DAG files may read it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmoe.errors import ConfigError
from mmoe.gate_config import GateConfig
from mmoe.parsing import Frozen, parse, read_yaml


class ExpertConfig(Frozen):
    kind: Literal["dcnv2", "masknet", "finalmlp", "mlp"]
    layers: int = Field(default=2, ge=1)
    """Cross layers (dcnv2) or mask blocks (masknet)."""
    rank: int | None = Field(default=None, ge=1)
    """dcnv2: width of the low-rank factors; absent: full rank."""
    mixture: int = Field(default=1, ge=1)
    """dcnv2: how many low-rank crosses a low-rank layer mixes by a gate of its own."""
    full_layers: int = Field(default=0, ge=0)
    """dcnv2 with a rank: how many of the layers, counted from the first, are full rank all the same."""
    parallel: bool = False
    """dcnv2: the dense layers read the features beside the crosses; masknet: so does every mask block."""
    hidden: tuple[int, ...] = Field(default=(128, 64), strict=False)
    """Widths of the expert's dense layers; the last one is its output, but for `fusion_outputs`, and equal in all
    experts of a model."""
    stream_gates: tuple[Annotated[tuple[str, ...], Field(strict=False)], ...] = Field(default=(), strict=False)
    """finalmlp: the features that each of its two streams' gates reads, `view_type` among them; an empty list, or no
    list at all: a learned context."""
    stream_gate_hidden: int = Field(default=16, ge=1)
    """finalmlp: hidden width of the streams' gates."""
    second_hidden: tuple[int, ...] = Field(default=(), strict=False)
    """finalmlp: widths of the second stream's dense layers; empty: those of the first, `hidden`."""
    fusion_heads: int | None = Field(default=None, ge=1)
    """finalmlp: chunks that both streams' outputs are cut into for their bilinear fusion; absent: as many as divide
    both widths, up to 8."""
    fusion_outputs: int | None = Field(default=None, ge=1)
    """finalmlp: numbers that the fusion gives, the expert's output; absent: as many as the last of `hidden`. 1 is the
    paper's."""

    @property
    def outputs(self) -> int:
        return self.fusion_outputs or self.hidden[-1]

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.rank is None and (self.mixture > 1 or self.full_layers):
            raise ValueError("mixture and full_layers describe low-rank crosses; give a rank, or drop them")
        if self.full_layers >= self.layers and self.rank is not None:
            raise ValueError(f"full_layers={self.full_layers} of layers={self.layers} leaves no layer for the rank")
        if self.kind != "dcnv2" and self.rank is not None:
            raise ValueError(f"rank={self.rank}: only dcnv2 has crosses; drop it for {self.kind}")
        if self.kind not in ("dcnv2", "masknet") and self.parallel:
            raise ValueError(f"parallel: only dcnv2 and masknet have such a form; drop it for {self.kind}")
        if self.kind == "masknet" and self.parallel and len(self.hidden) < 2:
            raise ValueError(f"hidden={list(self.hidden)}: parallel mask blocks need dense layers; give two widths")
        return self

    @model_validator(mode="after")
    def _streams_hold_together(self) -> Self:
        of_streams = ("stream_gates", "stream_gate_hidden", "second_hidden", "fusion_heads", "fusion_outputs")
        chosen = [name for name in of_streams if getattr(self, name) != type(self).model_fields[name].default]
        if self.kind != "finalmlp" and chosen:
            raise ValueError(f"{chosen[0]}: only finalmlp has two streams; drop it for {self.kind}")
        if len(self.stream_gates) not in (0, 2):
            raise ValueError(
                f"stream_gates={[list(names) for names in self.stream_gates]}: a list of features for each of the two "
                "streams is needed; give two, of which one may be empty"
            )
        outputs = [widths[-1] for widths in (self.hidden, self.second_hidden) if widths]
        if self.fusion_heads is not None and any(width % self.fusion_heads for width in outputs):
            raise ValueError(f"fusion_heads={self.fusion_heads}: give a divisor of the streams' last widths, {outputs}")
        return self


class ModelConfig(Frozen):
    experts: tuple[ExpertConfig, ...] = Field(min_length=1, strict=False)
    """One expert makes a shared-bottom model: no gate is built."""
    embedding_dim: int = Field(default=8, ge=1)
    view_dim: int | None = Field(default=None, ge=0)
    """Embedding width of the view type; absent: embedding_dim. 0: experts do not read it."""
    missing_flags: bool = True
    """A column beside each numeric one that is 1 where the value is missing; false spares crosses their width."""
    numeric_scale: float = Field(default=1.0, gt=0)
    """Factor on the standardised numeric values. Adam moves all weights at one pace, so that a number, which is one
    input, is learned more slowly than an embedding, which is many: up to √embedding_dim makes up for it."""
    numeric_buckets: dict[str, Annotated[int, Field(ge=2)]] = Field(default_factory=dict)
    """Numeric features to cut at the training window's quantiles into this many buckets, each with an embedding, in
    the place of the standardised value."""
    gate_hidden: tuple[int, ...] = Field(default=(), strict=False)
    """Hidden widths of each head's gate; empty: a single linear layer."""
    gate_inputs: tuple[str, ...] = Field(default=(), strict=False)
    """Features that the gates read, `view_type` among them; empty: all."""
    gate_per_view_type: bool = False
    """A gate per head and view type."""
    expert_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of (row, head, expert) whose gate weight is dropped in training, against collapse onto few experts."""
    tower_hidden: tuple[int, ...] = Field(default=(32,), strict=False)
    tower_per_view_type: bool = False
    """A tower per head and view type."""
    distillation_towers: bool = False
    """Distil on towers of their own beside the heads', which only training computes."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    normalization: Literal["none", "batch"] = "none"
    """batch: the experts' dense layers are normalised over the rows of a step before their ReLU, and in serving by the
    running means and variances of training."""

    @model_validator(mode="after")
    def _has_what_is_normalised(self) -> Self:
        dense = [expert for expert in self.experts if expert.kind != "masknet" or len(expert.hidden) > 1]
        if self.normalization == "batch" and not dense:
            raise ValueError(
                "normalization=batch: no expert has dense layers; give masknet a second width in hidden, or drop it"
            )
        return self


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
