"""What an engagement row holds, read from a YAML file: features, labels, view type, event time, identity.

docs/schema.md explains every key. A new data set needs such a file and no Python.
"""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from mmoe.errors import SchemaError
from mmoe.parsing import Frozen, parse, read_yaml

SHIPPED = Path(__file__).parent / "schemas"
EVENT_ID, EVENT_TIME, VIEW_TYPE = "event_id", "event_time", "view_type"
SCORE_COLUMNS = {"example_id", "group_id", "head", "logit", "label", "weight", VIEW_TYPE}
"""Of every score set, beside its slices."""


class Table(Frozen):
    """A side table whose columns are joined to every row (left join; unmatched columns are null)."""

    file: str
    """Path below the data folder: Parquet, CSV or JSON lines."""
    key: str
    """Column that both sides have; unique in the table."""
    columns: tuple[str, ...] = Field(default=(), strict=False)
    """Columns to take; all but the key when empty."""


class Source(Frozen):
    """Where raw engagement files lie below a data folder."""

    files: str = "dt={date}/*"
    """Glob with {date} (YYYY-MM-DD) or {yyyymmdd} in it, or neither: then rows are split by their event's day."""
    tables: tuple[Table, ...] = Field(default=(), strict=False)
    late_days: int = Field(default=7, ge=0)
    """Rows that come up to so many days after their own day still reach its partition; later ones are refused."""


class EventTime(Frozen):
    column: str = EVENT_TIME
    unit: Literal["timestamp", "iso", "s", "ms", "us"] = "timestamp"
    """How the column states time: an Arrow timestamp, ISO-8601 text, or an integer count since the epoch (UTC)."""
    day_starts_utc: int = Field(default=0, ge=-12, le=14)
    """Hours to add to UTC before the date is taken: 8 makes days those of a UTC+8 log. Fixed, so no DST gaps."""


class ViewType(Frozen):
    column: str = VIEW_TYPE
    values: tuple[str, ...] = Field(min_length=1, strict=False)
    """The view types, as text; their order is the order of the model's indices."""
    other: str | None = None
    """Name that unlisted values are gathered under; absent: an unlisted value is a broken row."""

    @property
    def names(self) -> tuple[str, ...]:
        return self.values if self.other is None else (*self.values, self.other)


class Categorical(Frozen):
    column: str | None = None
    type: Literal["int", "string"] = "string"
    buckets: int = Field(ge=1, le=2**31 - 2)
    """Rows of the embedding table, beside one row for a missing value."""
    ids: Literal["hashed", "dense"] = "hashed"
    """Which row a value has: one by its hash, or, of whole numbers counted from 0 without gaps, one of its own."""
    dim: int | None = Field(default=None, ge=1)
    """Embedding width; the model's default when absent."""

    @model_validator(mode="after")
    def _dense_ids_are_whole_numbers(self) -> Self:
        if self.ids == "dense" and self.type != "int":
            raise ValueError(f"type={self.type!r}: dense ids are whole numbers; say type: int, or ids: hashed")
        return self


class Multivalued(Categorical):
    separator: str | None = None
    """Splits a text column into values; absent: the column holds lists."""


class Numeric(Frozen):
    column: str | None = None
    transform: Literal["none", "log1p"] = "none"
    """log1p is sign(x)·log(1+|x|). Values are standardised by the training window's moments afterwards."""
    nan_is_missing: bool = False
    """True: NaN stands for a missing value. False: it is a broken one, as infinite values always are."""


class Label(Frozen):
    column: str | None = None
    maturity_days: int = Field(default=0, ge=0)
    """Whole days after the event's day until the label is final. Until then it is null and masked, never 0."""
    implies: str | None = None
    """A label that must be 1 where this one is 1 (long_click implies click)."""
    role: Literal["primary", "guardrail"] = "primary"
    """The gate must prove a primary head on every slice; a guardrail head must only not be shown to be worse."""


class Slice(Frozen):
    """A column that score sets are cut by: a feature's values, or the hour, gathered under a few names."""

    of: str
    """A numeric or categorical feature, or `event_time`: its hour, 0 to 23, in the days of the log."""
    edges: tuple[float, ...] = Field(default=(), strict=False)
    """Numbers and hours: ascending; each begins a slice, and what lies below the first is one too."""
    values: tuple[str, ...] = Field(default=(), strict=False)
    """Categories: those with a slice of their own; others share the slice `other`."""

    @model_validator(mode="after")
    def _is_cut_one_way(self) -> Self:
        if bool(self.edges) == bool(self.values):
            raise ValueError(f"of={self.of!r}: give edges (numbers, hours) or values (categories), not both")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"edges={list(self.edges)}: must ascend; sort them")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Of the slices, but for `missing`, where the value is null, and `other`."""
        if self.values:
            return self.values
        edges = [f"{edge:g}" for edge in self.edges]
        inner = (f"{low} to {high}" for low, high in pairwise(edges))
        return (f"under {edges[0]}", *inner, f"from {edges[-1]}")


class Features(Frozen):
    categorical: dict[str, Categorical] = Field(default_factory=dict)
    numeric: dict[str, Numeric] = Field(default_factory=dict)
    multivalued: dict[str, Multivalued] = Field(default_factory=dict)


class Schema(Frozen):
    """One engagement log, described."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    source: Source = Source()
    event_id: tuple[str, ...] = Field(default=(EVENT_ID,), min_length=1, strict=False)
    """The columns that identify an impression; several are hashed into one id."""
    event_time: EventTime = EventTime()
    view_type: ViewType
    group_id: str
    """Feature or column that groups rows for listwise losses and clustered intervals: a user or a request."""
    features: Features
    labels: dict[str, Label] = Field(min_length=1)
    slices: dict[str, Slice] = Field(default_factory=dict)
    """Slice columns of score sets, beside view_type, on which a model must not be shown to be worse."""

    @model_validator(mode="after")
    def _names_are_consistent(self) -> Self:
        kinds = (self.features.categorical, self.features.numeric, self.features.multivalued, self.labels)
        names = [name for kind in kinds for name in kind]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{repeated[0]!r} is declared twice; give each feature and label a name of its own")
        reserved = sorted({EVENT_ID, EVENT_TIME, VIEW_TYPE, "group_id"} & set(names))
        if reserved:
            raise ValueError(f"{reserved[0]!r} is a reserved name; rename the feature and set its `column`")
        if len(names) == len(self.labels):
            raise ValueError("features: at least one feature is needed")
        for name, label in self.labels.items():
            if label.implies is not None and label.implies not in self.labels:
                known = ", ".join(self.labels)
                raise ValueError(f"labels.{name}.implies={label.implies!r}: no such label; use one of {known}")
        return self

    @model_validator(mode="after")
    def _slices_are_of_what_is_there(self) -> Self:
        for name, declared in self.slices.items():
            numbers, categories = {EVENT_TIME, *self.features.numeric}, set(self.features.categorical)
            fitting = numbers if declared.edges else categories
            if declared.of not in fitting:
                kind = "a numeric feature or event_time" if declared.edges else "a categorical feature"
                raise ValueError(
                    f"slices.{name}.of={declared.of!r}: not {kind}; use one of {', '.join(sorted(fitting))}"
                )
            if name in SCORE_COLUMNS:
                raise ValueError(f"slices.{name}: a column of score sets has this name; choose another")
        return self

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that a partition's content or a model's inputs depend on: neither `source` nor
        `slices`."""
        content = self.model_dump(mode="json", exclude={"source", "slices"})
        for features in (content["features"]["categorical"], content["features"]["multivalued"]):
            for feature in features.values():
                if feature["ids"] == "hashed":  # what was not there in the first release counts where it is used
                    del feature["ids"]
        return digest_of(content)

    @property
    def slices_digest(self) -> str:
        """sha256 over what score sets are cut by beside the view type; empty where that is nothing."""
        content = self.model_dump(mode="json", include={"slices": True, "event_time": {"day_starts_utc"}})
        return digest_of(content) if self.slices else ""

    @property
    def heads(self) -> tuple[str, ...]:
        return tuple(self.labels)

    @property
    def primary_heads(self) -> tuple[str, ...]:
        return tuple(name for name, label in self.labels.items() if label.role == "primary")

    @property
    def maturity_days(self) -> int:
        """Days after which every label of a day is final."""
        return max(label.maturity_days for label in self.labels.values())


def digest_of(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_schema(name_or_path: str | Path) -> Schema:
    """Read a shipped schema by name ("ads", "kuairand") or a YAML file by path. Raises SchemaError."""
    path = SHIPPED / f"{name_or_path}.yaml"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.is_file() and path.suffix not in {".yaml", ".yml"}:
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise SchemaError(f"schema={str(name_or_path)!r}: neither a shipped schema ({shipped}) nor a YAML file.")
    return parse(Schema, read_yaml(path, SchemaError), str(path), SchemaError)
