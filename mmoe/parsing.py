"""YAML files to frozen pydantic models, with errors that name the file, the field, the value and the fix."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mmoe.errors import MmoeError


class Frozen(BaseModel):
    """Immutable, keyword-only, strict about unknown keys and about types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path, error: type[MmoeError]) -> dict[str, Any]:
    """The mapping in a YAML file; `error` if it is absent, unreadable or no mapping."""
    if not path.is_file():
        raise error(f"{path}: no such file. Give the path of an existing YAML file.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        raise error(f"{path}: not valid YAML ({' '.join(str(cause).split())}). Correct the file.") from cause
    if not isinstance(content, dict):
        raise error(f"{path}: holds {type(content).__name__}, not a mapping of keys to values.")
    return content


def parse(model: type[Model], content: object, origin: str, error: type[MmoeError]) -> Model:
    """Validate `content`; on failure raise `error` with one line per wrong field, at most five."""
    try:
        return model.model_validate(content)
    except ValidationError as cause:
        problems = [describe(model, problem) for problem in cause.errors()[:5]]
        raise error(f"{origin}: " + "; ".join(problems)) from cause


def describe(model: type[BaseModel], problem: Any) -> str:
    """One wrong field in words: where it is, what stands there, what to do."""
    field = ".".join(str(part) for part in problem["loc"]) or "(top level)"
    if problem["type"] == "extra_forbidden":
        known = sorted(known_keys(model))
        close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "remove it."
        return f"{field}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{field}: required, but absent; add it."
    return f"{field}={problem['input']!r}: {problem['msg']}."


def known_keys(model: type[BaseModel]) -> set[str]:
    """Every field name in a model and the models it holds, for spelling suggestions."""
    return {
        name
        for definition in model.model_json_schema().get("$defs", {}).values()
        for name in definition.get("properties", {})
    } | set(model.model_fields)
