"""What must be true of what is stored: of a published partition, as readers see it, and of a score set."""

from typing import Any

from mmoe.quality.rules import FLOAT32_MAX, Expectation, between, checked_columns, expect
from mmoe.schema import EVENT_ID, EVENT_TIME, VIEW_TYPE, Schema

PROBABILITY = "probability"
"""The logistic function of a score set's logit."""


def derive_published_suite(schema: Schema) -> dict[str, Any]:
    """A partition, read again through its manifest, against the schema's promises and the manifest's own counts."""
    features = schema.features
    names = (*features.categorical, *features.numeric, *features.multivalued)
    expectations = [
        expect("table_columns_to_match_ordered_list", "critical", column_list=list(checked_columns(schema))),
        between("table_row_count", "critical", "rows", "rows"),
        *(
            expect("column_values_to_not_be_null", "critical", column=name)
            for name in (EVENT_ID, EVENT_TIME, VIEW_TYPE)
        ),
        expect("column_values_to_be_unique", "critical", column=EVENT_ID),
        expect("column_values_to_be_in_set", "critical", column=VIEW_TYPE, value_set=list(schema.view_type.names)),
        *(_known_as_stated(name) for name in names),
        *(_finite(name) for name in features.numeric),
        *(rule for head in schema.labels for rule in _label_as_stated(head)),
    ]
    return {"name": f"{schema.name}.published", "expectations": expectations}


def derive_scores_suite(schema: Schema) -> dict[str, Any]:
    """A score set: finite logits, every head on every example once, and no head far from its label rate."""
    heads = list(schema.heads)
    expectations = [
        between("table_row_count", "critical", "fewest_rows", "most_rows"),
        *(expect("column_values_to_not_be_null", "critical", column=name) for name in ("example_id", "head", "logit")),
        expect("column_distinct_values_to_equal_set", "critical", column="head", value_set=heads),
        expect("compound_columns_to_be_unique", "critical", column_list=["example_id", "head"]),
        _finite("logit"),
        expect("column_values_to_be_in_set", "critical", column="label", value_set=[0, 1]),
        expect("column_values_to_be_between", "critical", column="weight", min_value=0, max_value=FLOAT32_MAX),
        expect("column_values_to_be_in_set", "critical", column=VIEW_TYPE, value_set=list(schema.view_type.names)),
        *(rule for head in heads for rule in _head(head)),
    ]
    return {"name": f"{schema.name}.scores", "expectations": expectations}


def _head(head: str) -> list[Expectation]:
    """The mean probability may be off its label rate, as an uncalibrated model's is, but not by orders of magnitude."""
    of_head = {"type": "comparison", "column": {"name": "head"}, "operator": "==", "parameter": head}
    only = {"row_condition": of_head}
    mean = {"column": PROBABILITY, **only}
    return [
        between("table_row_count", "critical", "examples", "examples", **only),
        between("column_mean", "critical", f"{head}_floor", f"{head}_ceiling", **mean),
        between("column_mean", "info", f"{head}_low", f"{head}_high", **mean),
    ]


def _known_as_stated(name: str) -> Expectation:
    share = "column_proportion_of_non_null_values"
    return between(share, "critical", f"{name}_known_low", f"{name}_known_high", column=name)


def _label_as_stated(head: str) -> list[Expectation]:
    return [
        expect("column_values_to_be_in_set", "critical", column=head, value_set=[0, 1]),
        between("column_sum", "critical", f"{head}_positives", f"{head}_positives", column=head),
        _known_as_stated(head),
    ]


def _finite(name: str) -> Expectation:
    return expect("column_values_to_be_between", "critical", column=name, min_value=-FLOAT32_MAX, max_value=FLOAT32_MAX)
