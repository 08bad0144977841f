"""Expectation suites as data: derived from a schema, checked in under expectations/, edited there by hand.

A bound written {"$PARAMETER": name} is set for each day from the days before it (mmoe/quality/bounds.py).
"""

import json
import os
from pathlib import Path
from typing import Any

from mmoe.errors import SchemaError
from mmoe.lake.partitions import GROUP_ID
from mmoe.schema import EVENT_ID, EVENT_TIME, VIEW_TYPE, Schema

SUITES = Path(__file__).parents[2] / "expectations"
FLOAT32_MAX = 3.4028234663852886e38
LONGEST_LIST = 10_000

Expectation = dict[str, Any]


def derive_suite(schema: Schema) -> dict[str, Any]:
    """The suite of a schema, in Great Expectations' own JSON form. Critical: the day must not enter the lake."""
    features = schema.features
    expectations = [
        _expect("table_columns_to_match_ordered_list", "critical", column_list=list(checked_columns(schema))),
        *_volume(),
        *_identity(schema),
        *(rule for name in (*features.categorical, *features.multivalued) for rule in _known(name)),
        *(rule for name in features.numeric for rule in (*_known(name), _finite(name))),
        *(_short_lists(name) for name in features.multivalued),
        *(rule for head in schema.labels for rule in _label(schema, head)),
    ]
    return {"name": schema.name, "expectations": expectations}


def checked_columns(schema: Schema) -> tuple[str, ...]:
    """The canonical columns of a partition. A multi-valued feature is checked by the lengths of its lists."""
    features = schema.features
    return (
        *(EVENT_ID, EVENT_TIME, VIEW_TYPE, GROUP_ID),
        *(*features.categorical, *features.numeric, *features.multivalued, *schema.labels),
    )


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


def _volume() -> list[Expectation]:
    """An empty batch passes nearly every other expectation, so that there are rows must be said first."""
    return [
        _expect("table_row_count_to_be_between", "critical", min_value=1),
        _between("table_row_count", "critical", "rows_floor", "rows_ceiling"),
        _between("table_row_count", "warning", "rows_low", "rows_high"),
    ]


def _identity(schema: Schema) -> list[Expectation]:
    return [
        _expect("column_values_to_not_be_null", "critical", column=EVENT_ID),
        _expect("column_values_to_be_unique", "critical", column=EVENT_ID),
        _expect("column_values_to_not_be_null", "critical", column=EVENT_TIME),
        _between("column_values", "critical", "earliest", "latest", column=EVENT_TIME),
        _expect("column_values_to_not_be_null", "critical", column=VIEW_TYPE),
        _expect("column_values_to_be_in_set", "critical", column=VIEW_TYPE, value_set=list(schema.view_type.names)),
        _expect(
            "column_distinct_values_to_contain_set",
            "warning",
            column=VIEW_TYPE,
            value_set={"$PARAMETER": "usual_view_types"},
        ),
        _expect("column_values_to_not_be_null", "critical", column=GROUP_ID, mostly=0.95),
    ]


def _known(name: str) -> list[Expectation]:
    """An all-null column passes every value check, so its share of known values is checked on its own."""
    share = "column_proportion_of_non_null_values"
    return [
        _expect(f"{share}_to_be_between", "warning", column=name, min_value=0.01),
        _expect(f"{share}_to_be_between", "warning", column=name, min_value={"$PARAMETER": f"{name}_known"}),
    ]


def _finite(name: str) -> Expectation:
    bounds = {"min_value": -FLOAT32_MAX, "max_value": FLOAT32_MAX}
    return _expect("column_values_to_be_between", "critical", column=name, **bounds)


def _short_lists(name: str) -> Expectation:
    return _expect("column_values_to_be_between", "warning", column=name, min_value=0, max_value=LONGEST_LIST)


def _label(schema: Schema, head: str) -> list[Expectation]:
    label = schema.labels[head]
    rules = [_expect("column_values_to_be_in_set", "critical", column=head, value_set=[0, 1])]
    if label.maturity_days == 0:
        rules += [
            _expect("column_values_to_not_be_null", "critical", column=head, mostly=0.5),
            _expect("column_values_to_not_be_null", "warning", column=head, mostly=0.99),
        ]
    rules += [
        _between("column_mean", "critical", f"{head}_floor", f"{head}_ceiling", column=head),
        _between("column_mean", "warning", f"{head}_low", f"{head}_high", column=head),
    ]
    if label.implies is not None:
        pair = {"column_A": label.implies, "column_B": head, "or_equal": True}
        pair |= {"ignore_row_if": "either_value_is_missing"}
        rules += [
            _expect("column_pair_values_a_to_be_greater_than_b", "critical", mostly=0.95, **pair),
            _expect("column_pair_values_a_to_be_greater_than_b", "warning", **pair),
        ]
    return rules


def _between(what: str, severity: str, low: str, high: str, **kwargs: Any) -> Expectation:
    bounds = {"min_value": {"$PARAMETER": low}, "max_value": {"$PARAMETER": high}}
    return _expect(f"{what}_to_be_between", severity, **kwargs, **bounds)


def _expect(name: str, severity: str, **kwargs: Any) -> Expectation:
    return {"type": f"expect_{name}", "kwargs": kwargs, "severity": severity}
