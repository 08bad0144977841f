"""The networks' part of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmoe.parsing import Frozen


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
    mask_hidden: int | None = Field(default=None, ge=1)
    """masknet: width of the hidden layer between the features and a mask; absent: that of a block, the first of
    `hidden`."""
    feature_norm: bool = True
    """masknet: masks act on the features normalised over their width; false: on the features as they are."""
    block_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """masknet: share of the mask blocks' outputs that training drops; the dense layers after them have the model's
    `dropout`."""
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

    def _chosen(self, *names: str) -> list[str]:
        """Those that differ from their default."""
        return [name for name in names if getattr(self, name) != type(self).model_fields[name].default]

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
        of_masks = self._chosen("mask_hidden", "feature_norm", "block_dropout")
        if self.kind != "masknet" and of_masks:
            raise ValueError(f"{of_masks[0]}: only masknet has masks; drop it for {self.kind}")
        if self.kind == "masknet" and self.parallel and len(self.hidden) < 2:
            raise ValueError(f"hidden={list(self.hidden)}: parallel mask blocks need dense layers; give two widths")
        return self

    @model_validator(mode="after")
    def _streams_hold_together(self) -> Self:
        chosen = self._chosen("stream_gates", "stream_gate_hidden", "second_hidden", "fusion_heads", "fusion_outputs")
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
