"""What the lake states about a day: frozen objects with canonical JSON. Counts and digests, never row values."""

import hashlib
import json
from datetime import date, datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError

from mmoe.errors import CorruptionError
from mmoe.parsing import Frozen

Severity = Literal["critical", "warning", "info"]
INGEST = "ingest"
"""Stands for an expectation where ingest itself found the problem."""
SourceColumns = dict[str, dict[str, tuple[str, ...]]]
"""What raw files bring (rows, label updates, a side table) -> their columns -> the types that each came with."""
Content = TypeVar("Content", bound=Frozen)


class SourceFile(Frozen):
    """A raw file that a partition was made of."""

    name: str
    bytes: int
    sha256: str


class Problem(Frozen):
    """Why a day cannot be published: a file that cannot be read, or values that do not fit the schema."""

    file: str | None = None
    column: str | None = None
    what: str
    rows: int | None = None

    def __str__(self) -> str:
        where = [part for part in (self.file, self.column) if part]
        count = f" ({self.rows} rows)" if self.rows is not None else ""
        return ": ".join([*where, self.what]) + count


class LabelCount(Frozen):
    positives: int
    negatives: int
    nulls: int

    @property
    def rate(self) -> float | None:
        """Share of ones among the rows whose label is known; None where none is."""
        known = self.positives + self.negatives
        return self.positives / known if known else None

    @property
    def null_share(self) -> float:
        rows = self.positives + self.negatives + self.nulls
        return self.nulls / rows if rows else 0.0


class Failure(Frozen):
    """One expectation that did not hold."""

    expectation: str
    column: str | None = None
    view_type: str | None = None
    """The view type on which it did not hold; None: on all rows."""
    severity: Severity
    detail: str

    def __str__(self) -> str:
        if self.expectation == INGEST:
            return self.detail
        place = " on ".join(part for part in (self.column, self.view_type) if part)
        return ": ".join(part for part in (place, self.expectation, self.detail) if part)


class Release(Frozen):
    """A person's decision that quarantined rows are published as they are."""

    day: date
    subject: str
    """Digest of the staged day: of these rows and no others."""
    actor: str
    reason: str
    at: datetime
    overrides: tuple[Failure, ...]
    """The critical failures that the person had before them."""


class Validation(Frozen):
    """The outcome of checking a staged day. Only "failed" keeps the day out of the lake."""

    status: Literal["passed", "warned", "failed", "released"]
    """released: failed, but a person has decided that these rows are published all the same."""
    subject: str
    """Digest of the staged day that was checked."""
    checks: int
    failures: tuple[Failure, ...] = ()
    release: Release | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever uses the day should know of it."""
        flagged = [str(failure) for failure in self.failures if failure.severity != "info"]
        if self.release is not None:
            flagged.insert(0, f"released from quarantine by {self.release.actor}: {self.release.reason}")
        return tuple(flagged)

    def joined(self, other: "Validation") -> "Validation":
        """This, and what another suite found on the same rows: the worse of the two."""
        status = max(self.status, other.status, key=("passed", "warned", "failed").index)
        found = {"checks": self.checks + other.checks, "failures": (*self.failures, *other.failures)}
        return self.model_copy(update={"status": status, **found})


class DataFile(Frozen):
    name: str
    rows: int
    bytes: int
    sha256: str


class Manifest(Frozen):
    """A published partition. It exists when its manifest does, and readers go through it."""

    format: Literal[1] = 1
    day: date
    files: tuple[DataFile, ...]
    schema_name: str
    schema_fingerprint: str
    as_of: date | None = None
    """Labels are final, or null, as of the start of this day; None in manifests of before that was kept."""
    sources: tuple[SourceFile, ...]
    source_columns: SourceColumns = Field(default_factory=dict)
    """Of the raw files and side tables; empty in manifests of before that was kept."""
    counts: dict[str, int]
    """What ingest did: rows_read and late_rows came in; duplicates, label_fills, conflicts, unmatched_updates and
    off_day_rows did not stay; of the last, refused_rows went nowhere. Also repeated_files and empty_files."""
    nulls: dict[str, int]
    """Missing values per feature, and for group_id."""
    labels: dict[str, LabelCount]
    view_type_rows: dict[str, int]
    validation: Validation

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def label_rates(self) -> dict[str, float | None]:
        return {head: count.rate for head, count in self.labels.items()}

    @property
    def digest(self) -> str:
        """sha256 over the rows' identity: day, schema and file digests. A repeat that changes no row keeps it."""
        return canonical_digest(self.model_dump(mode="json", include={"day", "files", "schema_fingerprint"}))


def canonical_json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def canonical_digest(content: object) -> str:
    return hashlib.sha256(canonical_json(content)).hexdigest()


def to_json(content: Frozen) -> bytes:
    return canonical_json(content.model_dump(mode="json"))


def from_json(model: type[Content], content: bytes, key: str, fix: str = "ingest the day again") -> Content:
    """Read back what `to_json` wrote. Raises CorruptionError naming object, field and fix, not the value."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "(top level)"
        message = f"{key}: {field}: {first['msg']}. The object is damaged; {fix}."
        raise CorruptionError(message) from None


def file_digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
