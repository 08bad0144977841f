"""What a schema's rows should be like, derived: the suites that are checked in under expectations/."""

from typing import Any

from mmoe.lake.partitions import GROUP_ID
from mmoe.schema import EVENT_ID, EVENT_TIME, VIEW_TYPE, Schema

FLOAT32_MAX = 3.4028234663852886e38
LONGEST_LIST = 10_000
DRIFTED, TRANSFORMED = 0.2, 1.0
"""PSI that is worth a look, and PSI of a feature that is no longer the same thing."""

PSI = "expect_column_psi_to_be_between"
SOURCES = (
    ("expect_source_columns_to_be_known", "source_columns", "warning"),
    ("expect_source_types_to_remain", "source_columns", "warning"),
    ("expect_source_columns_to_remain", "steady_source_columns", "info"),
)
"""What raw files may not do unnoticed: bring a new column, another type, or one column less. One less that the schema
names is a problem that ingest itself finds."""
PER_VIEW_TYPE = "per_view_type"
"""In an expectation's `meta`: it is asked of all rows, and of those of each view type."""

Expectation = dict[str, Any]


def derive_suite(schema: Schema) -> dict[str, Any]:
    """The suite of a schema, in Great Expectations' own JSON form. Critical: the day must not enter the lake."""
    features = schema.features
    names = (*features.categorical, *features.numeric, *features.multivalued)
    expectations = [
        expect("table_columns_to_match_ordered_list", "critical", column_list=list(checked_columns(schema))),
        *_volume(),
        *_source_columns(),
        *_identity(schema),
        *(rule for name in (*features.categorical, *features.multivalued) for rule in _known(name)),
        *(rule for name in features.numeric for rule in (*_known(name), _finite(name))),
        *(_short_lists(name) for name in features.multivalued),
        *(rule for head in schema.labels for rule in _label(schema, head)),
        *(rule for name in names for rule in _drift(name)),
    ]
    return {"name": schema.name, "expectations": expectations}


def checked_columns(schema: Schema) -> tuple[str, ...]:
    """The canonical columns of a partition. A multi-valued feature is checked by the lengths of its lists."""
    features = schema.features
    return (
        *(EVENT_ID, EVENT_TIME, VIEW_TYPE, GROUP_ID),
        *(*features.categorical, *features.numeric, *features.multivalued, *schema.labels),
    )


def _volume() -> list[Expectation]:
    """An empty batch passes nearly every other expectation, so that there are rows must be said first."""
    return [
        expect("table_row_count_to_be_between", "critical", min_value=1),
        between("table_row_count", "critical", "rows_floor", "rows_ceiling"),
        _each_view_type(between("table_row_count", "warning", "rows_low", "rows_high")),
    ]


def _source_columns() -> list[Expectation]:
    """Against the published days before."""
    return [
        {"type": name, "kwargs": {"reference": {"$PARAMETER": reference}}, "severity": how}
        for name, reference, how in SOURCES
    ]


def _identity(schema: Schema) -> list[Expectation]:
    return [
        expect("column_values_to_not_be_null", "critical", column=EVENT_ID),
        expect("column_values_to_be_unique", "critical", column=EVENT_ID),
        expect("column_values_to_not_be_null", "critical", column=EVENT_TIME),
        between("column_values", "critical", "earliest", "latest", column=EVENT_TIME),
        expect("column_values_to_not_be_null", "critical", column=VIEW_TYPE),
        expect("column_values_to_be_in_set", "critical", column=VIEW_TYPE, value_set=list(schema.view_type.names)),
        expect(
            "column_distinct_values_to_contain_set",
            "warning",
            column=VIEW_TYPE,
            value_set={"$PARAMETER": "usual_view_types"},
        ),
        expect("column_values_to_not_be_null", "critical", column=GROUP_ID, mostly=0.95),
    ]


def _known(name: str) -> list[Expectation]:
    """An all-null column passes every value check, so its share of known values is checked on its own."""
    share = "column_proportion_of_non_null_values"
    return [
        expect(f"{share}_to_be_between", "warning", column=name, min_value=0.01),
        expect(f"{share}_to_be_between", "warning", column=name, min_value={"$PARAMETER": f"{name}_known"}),
    ]


def _finite(name: str) -> Expectation:
    bounds = {"min_value": -FLOAT32_MAX, "max_value": FLOAT32_MAX}
    return expect("column_values_to_be_between", "critical", column=name, **bounds)


def _short_lists(name: str) -> Expectation:
    return expect("column_values_to_be_between", "warning", column=name, min_value=0, max_value=LONGEST_LIST)


def _label(schema: Schema, head: str) -> list[Expectation]:
    label = schema.labels[head]
    rules = [expect("column_values_to_be_in_set", "critical", column=head, value_set=[0, 1])]
    if label.maturity_days == 0:
        rules += [
            expect("column_values_to_not_be_null", "critical", column=head, mostly=0.5),
            expect("column_values_to_not_be_null", "warning", column=head, mostly=0.99),
        ]
    rules += [
        _each_view_type(between("column_mean", "critical", f"{head}_floor", f"{head}_ceiling", column=head)),
        _each_view_type(between("column_mean", "warning", f"{head}_low", f"{head}_high", column=head)),
    ]
    if label.implies is not None:
        pair = {"column_A": label.implies, "column_B": head, "or_equal": True}
        pair |= {"ignore_row_if": "either_value_is_missing"}
        rules += [
            expect("column_pair_values_a_to_be_greater_than_b", "critical", mostly=0.95, **pair),
            expect("column_pair_values_a_to_be_greater_than_b", "warning", **pair),
        ]
    return rules


def _drift(name: str) -> list[Expectation]:
    """Against the days before, missing values included. Drift is news; a feature that is another thing is a fault.

    Not so on a view type: what a small one shows may change from day to day (docs/studies).
    """
    psi = {"column": name, "reference": {"$PARAMETER": f"{name}_reference"}}
    return [
        expect("column_psi_to_be_between", "critical", max_value=TRANSFORMED, **psi),
        _each_view_type(expect("column_psi_to_be_between", "warning", max_value=DRIFTED, **psi)),
    ]


def _each_view_type(rule: Expectation) -> Expectation:
    """Asked of all rows, and of those of each view type."""
    return {**rule, "meta": {PER_VIEW_TYPE: True}}


def between(what: str, severity: str, low: str, high: str, **kwargs: Any) -> Expectation:
    bounds = {"min_value": {"$PARAMETER": low}, "max_value": {"$PARAMETER": high}}
    return expect(f"{what}_to_be_between", severity, **kwargs, **bounds)


def expect(name: str, severity: str, **kwargs: Any) -> Expectation:
    return {"type": f"expect_{name}", "kwargs": kwargs, "severity": severity}
