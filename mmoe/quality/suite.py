"""Expectation suites as data: derived from a schema, checked in under expectations/, edited there by hand.

A bound written {"$PARAMETER": name} is set for each day from the days before it (mmoe/quality/bounds.py), or from what
a manifest states (mmoe/quality/verification.py).
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from mmoe.errors import SchemaError
from mmoe.quality.rules import checked_columns, derive_suite
from mmoe.quality.stored_rules import derive_published_suite, derive_scores_suite
from mmoe.schema import Schema

SUITES = Path(__file__).parents[2] / "expectations"
Kind = Literal["rows", "published", "scores"]
"""Staged rows, a published partition, a score set."""
DERIVED: dict[Kind, Callable[[Schema], dict[str, Any]]] = {
    "rows": derive_suite,
    "published": derive_published_suite,
    "scores": derive_scores_suite,
}


def load_suite(schema: Schema, folder: Path = SUITES, kind: Kind = "rows") -> dict[str, Any]:
    """The checked-in suite of the schema's name, or one derived from the schema when there is none.

    Raises SchemaError when the file is no suite, or is one for other columns or heads than the schema's.
    """
    path = suite_path(schema, folder, kind)
    if not path.is_file():
        return DERIVED[kind](schema)
    try:
        suite = json.loads(path.read_text(encoding="utf-8"))
        named = _heads_of(suite) if kind == "scores" else _columns_of(suite)
    except (ValueError, KeyError, TypeError, StopIteration):
        raise SchemaError(f"{path}: no expectation suite; write it again with write_suites, or remove it.") from None
    own = schema.heads if kind == "scores" else checked_columns(schema)
    if named != own:
        different = sorted(set(named) ^ set(own)) or ["their order"]
        raise SchemaError(
            f"{path}: made for other columns than schema {schema.name!r} has ({', '.join(different[:8])}); write it "
            "again with write_suites, or give the schema a name of its own."
        )
    return dict(suite)


def write_suites(schema: Schema, folder: Path = SUITES) -> list[Path]:
    """Write the schema's derived suites to `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, derive in DERIVED.items():
        path = suite_path(schema, folder, kind)
        aside = path.with_suffix(f".{os.getpid()}.tmp")
        aside.write_text(_one_rule_a_line(derive(schema)), encoding="utf-8")
        aside.replace(path)
        paths.append(path)
    return paths


def suite_path(schema: Schema, folder: Path, kind: Kind) -> Path:
    return folder / (f"{schema.name}.json" if kind == "rows" else f"{schema.name}.{kind}.json")


def _columns_of(suite: dict[str, Any]) -> tuple[str, ...]:
    rules = (rule for rule in suite["expectations"] if rule["type"].endswith("columns_to_match_ordered_list"))
    return tuple(next(rules)["kwargs"]["column_list"])


def _heads_of(suite: dict[str, Any]) -> tuple[str, ...]:
    rules = (rule for rule in suite["expectations"] if rule["type"].endswith("distinct_values_to_equal_set"))
    return tuple(next(rule for rule in rules if rule["kwargs"]["column"] == "head")["kwargs"]["value_set"])


def _one_rule_a_line(suite: dict[str, Any]) -> str:
    rules = ",\n".join(f"  {json.dumps(rule, ensure_ascii=False)}" for rule in suite["expectations"])
    return f'{{\n "name": {json.dumps(suite["name"])},\n "expectations": [\n{rules}\n ]\n}}\n'
