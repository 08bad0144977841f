"""Who made which version champion, when and why: one JSON file a change. No MLflow, so the web pages read it too."""

import os
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from mmoe.errors import RegistryError
from mmoe.parsing import Frozen
from mmoe.settings import Settings


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
        return [self._read_one(path) for path in sorted(self.folder.glob("*.json"))]

    def write(self, record: PromotionRecord) -> None:
        path = self.folder / f"{record.number:06d}.json"
        aside = path.with_suffix(".tmp")
        self.folder.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8") as handle:
            handle.write(record.model_dump_json(indent=1))
            handle.flush()
            os.fsync(handle.fileno())
        aside.replace(path)

    @staticmethod
    def _read_one(path: Path) -> PromotionRecord:
        try:
            return PromotionRecord.model_validate_json(path.read_bytes())
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(str(part) for part in problem["loc"]) or "(top level)"
            raise RegistryError(f"{path}: {field}: {problem['msg']}. Restore the record from a backup.") from None


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
