"""What an interrupted demo needs to go on: its inputs, the time it has used, and whether it came to its end."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

FILE = "demo.json"


class Journal:
    """One JSON file in the demo's home."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        self.content: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def belongs_to(self, inputs: dict[str, Any]) -> bool:
        """True if an unfinished demo with the same inputs left this home."""
        return self.content.get("inputs") == digest(inputs) and not self.content.get("complete", False)

    def begin(self, inputs: dict[str, Any]) -> None:
        """Start with an empty home."""
        shutil.rmtree(self.path.parent, ignore_errors=True)
        self.path.parent.mkdir(parents=True)
        self.content = {"inputs": digest(inputs), "seconds": 0.0, "complete": False}
        self._write()

    def is_done(self, chapter: str) -> bool:
        return chapter in self.content.get("done", [])

    def done(self, chapter: str) -> None:
        self.content["done"] = [*self.content.get("done", []), chapter]
        self._write()

    def remember(self, name: str, value: Any) -> None:
        self.content[name] = value
        self._write()

    def add_seconds(self, seconds: float) -> float:
        self.content["seconds"] += seconds
        self._write()
        return float(self.content["seconds"])

    def complete(self) -> None:
        self.content["complete"] = True
        self._write()

    def _write(self) -> None:
        aside = self.path.with_suffix(".tmp")
        aside.write_text(json.dumps(self.content, indent=1))
        aside.replace(self.path)


def digest(inputs: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()
