"""Who made which version champion, when and why, and where each version comes from: one JSON file each.

No MLflow, so the web pages read them too.
"""

import os
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from mmoe.errors import RegistryError
from mmoe.parsing import Frozen
from mmoe.settings import Settings

Record = TypeVar("Record", bound=Frozen)


class PromotionRecord(Frozen):
    """One change of the champion. It is written as an intent before the aliases move, and closed afterwards."""

    number: int
    kind: Literal["bootstrap", "promotion", "rollback"]
    state: Literal["intent", "done", "undone"]
    version: str
    """The new champion."""
    digest: str
    replaces: str | None
    """The champion until then."""
    previous_before: str | None
    previous_after: str | None
    """The version that `rollback` would return to."""
    actor: str
    reason: str
    report: str | None
    at: datetime


class Records:
    """The changes of one registered model, oldest first."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home.absolute() / "promotions" / settings.registered_model

    def read(self) -> list[PromotionRecord]:
        """Raises RegistryError for a file that is no record."""
        return read_records(self.folder, PromotionRecord)

    def write(self, record: PromotionRecord) -> None:
        write_record(self.folder / f"{record.number:06d}.json", record)


class VersionRecord(Frozen):
    """A registered version: what MLflow's tags say, and the plan that made it."""

    version: str
    run_id: str
    digest: str
    line: str
    stage: Literal["bootstrap", "batch", "incremental"]
    first_day: date
    trained_through: date
    days: int
    parent: str | None
    baseline: str | None
    teacher: str | None
    """Digest of the model it was distilled from."""
    plan: str
    config: dict[str, Any]
    """Model and parameters, resolved."""


class VersionRecords:
    """The versions of one registered model, oldest first."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home.absolute() / "versions" / settings.registered_model

    def read(self) -> list[VersionRecord]:
        """Raises RegistryError for a file that is no record."""
        return read_records(self.folder, VersionRecord)

    def find(self, version: str) -> VersionRecord | None:
        """None where there is no record of it."""
        path = self._path(version) if version.isdecimal() else None
        return read_record(path, VersionRecord) if path and path.exists() else None

    def write(self, record: VersionRecord) -> None:
        write_record(self._path(record.version), record)

    def _path(self, version: str) -> Path:
        return self.folder / f"{int(version):06d}.json"


def read_records(folder: Path, kind: type[Record], last: int = 0) -> list[Record]:
    """By file name, or only the `last` ones. Raises RegistryError for a file that is no such record."""
    return [read_record(path, kind) for path in sorted(folder.glob("*.json"))[-last:]]


def read_record(path: Path, kind: type[Record]) -> Record:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"]) or "(top level)"
        raise RegistryError(f"{path}: {field}: {problem['msg']}. Restore the record from a backup.") from None


def write_record(path: Path, record: Frozen) -> None:
    """Whole or not at all, and on the disk when this returns."""
    aside = path.with_suffix(".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    with aside.open("w", encoding="utf-8") as handle:
        handle.write(record.model_dump_json(indent=1))
        handle.flush()
        os.fsync(handle.fileno())
    aside.replace(path)


def reigns(records: list[PromotionRecord]) -> list[str]:
    """Champions that a rollback can return through, oldest first; the last one is the champion."""
    stack: list[str] = []
    for record in records:
        if record.state != "done":
            continue
        if record.kind == "rollback" and record.version in stack:
            del stack[stack.index(record.version) + 1 :]
        else:
            stack.append(record.version)
    return stack
