"""Expectation suites as data: derived from a schema, checked in under expectations/, edited there by hand.

A bound written {"$PARAMETER": name} is set for each day from the days before it (mmoe/quality/bounds.py).
"""

import json
import os
from pathlib import Path
from typing import Any

from mmoe.errors import SchemaError
from mmoe.quality.rules import checked_columns, derive_suite
from mmoe.schema import Schema

SUITES = Path(__file__).parents[2] / "expectations"


def load_suite(schema: Schema, folder: Path = SUITES) -> dict[str, Any]:
    """The checked-in suite of the schema's name, or one derived from the schema when there is none.

    Raises SchemaError when the file is no suite, or is one for other columns than the schema's.
    """
    path = folder / f"{schema.name}.json"
    if not path.is_file():
        return derive_suite(schema)
    try:
        suite = json.loads(path.read_text(encoding="utf-8"))
        declared = next(
            rule for rule in suite["expectations"] if rule["type"].endswith("columns_to_match_ordered_list")
        )
        columns = tuple(declared["kwargs"]["column_list"])
    except (ValueError, KeyError, TypeError, StopIteration):
        raise SchemaError(f"{path}: no expectation suite; write it again with write_suite, or remove it.") from None
    if columns != checked_columns(schema):
        different = sorted(set(columns) ^ set(checked_columns(schema))) or ["their order"]
        raise SchemaError(
            f"{path}: made for other columns than schema {schema.name!r} has ({', '.join(different[:8])}); write it "
            "again with write_suite, or give the schema a name of its own."
        )
    return dict(suite)


def write_suite(schema: Schema, folder: Path = SUITES) -> Path:
    """Write the derived suite to folder/<schema name>.json; returns the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{schema.name}.json"
    aside = path.with_suffix(f".{os.getpid()}.tmp")
    aside.write_text(_one_rule_a_line(derive_suite(schema)), encoding="utf-8")
    aside.replace(path)
    return path


def _one_rule_a_line(suite: dict[str, Any]) -> str:
    rules = ",\n".join(f"  {json.dumps(rule, ensure_ascii=False)}" for rule in suite["expectations"])
    return f'{{\n "name": {json.dumps(suite["name"])},\n "expectations": [\n{rules}\n ]\n}}\n'
