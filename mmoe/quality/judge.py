"""Great Expectations on data that does not fit in memory: its metrics on blocks, merged; its expectations judge them.

Its results carry row values, and so do its warnings; only booleans, counts and means leave this module.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mmoe.quality.blocks import Blocks, Frame

Rule = dict[str, Any]
"""An expectation in Great Expectations' JSON form, its parameters replaced by values."""
Metrics = dict[Any, Any]
"""Great Expectations' metric ids to values."""

ADDED_UP = (".unexpected_count", ".filtered_row_count", "column_values.nonnull.count", "table.row_count", "column.sum")
WEIGHED = {"column.mean": "column_values.nonnull.count", "column.non_null_proportion": "table.row_count"}
"""Averages, and the counts that weigh them where blocks are merged."""
SOURCE_COLUMNS = "table.source_columns"
STEADY = ("table.columns", "table.column_count", "column.psi", SOURCE_COLUMNS)
"""The same on every block, or only asked of one."""
OBSERVED = (*WEIGHED, "table.row_count", "column.psi")
"""Metrics that may be shown: none of them is a row's value, if they are of FEW rows or more."""
FEW = 20


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What an expectation says, without a row's value."""

    success: bool
    evaluated: bool
    """False: it could not be evaluated on these columns."""
    rows: int | None = None
    unexpected: int | None = None
    """Rows that do not fit, of `rows`; only where the expectation is about each row."""
    observed: float | None = None
    columns: tuple[str, ...] = ()
    """Source columns that are not as expected."""


def judge(rules: Sequence[Rule], blocks: Blocks | Frame) -> list[Judged]:
    """Each rule judged on all rows of `blocks`, in one pass for all that is counted, averaged or about single rows.

    Uniqueness takes passes of its own, by hash; sets of distinct values one over the distinct ones. Any other statistic
    (a quantile, say) is Great Expectations' own on those columns of the whole day.
    """
    _prepare()
    questions = [_Question(rule) for rule in rules]
    streamed = [question for question in questions if question.how == "frames"]
    answers = _metrics(streamed, blocks.frames()) if streamed else {}
    judged = []
    for question in questions:
        own = answers if question.how == "frames" else _metrics([question], _frames(blocks, question))
        judged.append(question.judged(own))
    return judged


def _prepare() -> None:
    """Register the expectations; say nothing to anyone: no analytics, and no warnings, for those quote rows."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read once, when the package is imported
    import mmoe.quality.expectations  # noqa: F401

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)


class _Question:
    """One expectation, the metrics that it wants to know, and how a day must be shown to it."""

    def __init__(self, rule: Rule) -> None:
        from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

        wanted = ExpectationConfiguration(type=rule["type"], kwargs=rule["kwargs"], severity=rule["severity"])
        self.columns = _columns(rule["kwargs"])
        self.expectation: Any = wanted.to_domain_obj()
        dependencies = self.expectation.get_validation_dependencies(PandasExecutionEngine(), _yes_or_no())
        self.own = list(dependencies.get_metric_configurations())
        self.metrics = [*self.own, *(_weight(metric) for metric in self.own if metric.metric_name in WEIGHED)]
        names = [metric.metric_name for metric in self.own]
        if any(".unique" in name for name in names):
            self.how = "by_hash"
        elif any(".distinct_values" in name for name in names):
            self.how = "distinct"
        else:
            self.how = "frames" if all(_is_mergeable(name) for name in names) else "whole"

    def judged(self, metrics: Metrics) -> Judged:
        if any(metric.id not in metrics for metric in self.metrics):
            return Judged(success=False, evaluated=False)
        outcome = self.expectation.metrics_validate(metrics, runtime_configuration=_yes_or_no())
        found = {metric.metric_name: metrics[metric.id] for metric in self.metrics}
        rows = next((int(found[name]) for name in ("table.row_count", *WEIGHED.values()) if name in found), None)
        unexpected = [name for name in found if name.endswith(".unexpected_count")]
        own = [name for name in unexpected if not name.startswith("column_values.nonnull")] or unexpected
        shown = next((name for name in OBSERVED if name in found), None)
        return Judged(
            success=bool(outcome.success),
            evaluated=True,
            rows=rows,
            unexpected=int(found[own[0]]) if own else None,
            observed=float(found[shown]) if shown and not own and _may_be_shown(shown, rows) else None,
            columns=self.expectation.differences(found[SOURCE_COLUMNS]) if SOURCE_COLUMNS in found else (),
        )


def _may_be_shown(name: str, rows: int | None) -> bool:
    return name != "column.mean" or (rows or 0) >= FEW


def _frames(blocks: Blocks | Frame, question: _Question) -> Iterable[Any]:
    if question.how == "by_hash":
        return blocks.by_hash(question.columns)
    return [blocks.distinct(question.columns) if question.how == "distinct" else blocks.whole(question.columns)]


def _columns(kwargs: dict[str, Any]) -> list[str]:
    named = [kwargs.get(key) for key in ("column", "column_A", "column_B")]
    return [name for name in (*named, *kwargs.get("column_list", ())) if name]


def _yes_or_no() -> dict[str, Any]:
    return {"result_format": {"result_format": "BOOLEAN_ONLY"}}


def _weight(metric: Any) -> Any:
    from great_expectations.validator.metric_configuration import MetricConfiguration

    name, domain = WEIGHED[metric.metric_name], dict(metric.metric_domain_kwargs)
    if name.startswith("table."):
        del domain["column"]
    return MetricConfiguration(name, domain)


def _is_mergeable(name: str) -> bool:
    return name.endswith(ADDED_UP) or name in WEIGHED or name in STEADY


def _metrics(questions: Sequence[_Question], frames: Iterable[Any]) -> Metrics:
    """Every metric over all frames, without those that cannot be computed on some frame."""
    wanted = list({metric.id: metric for question in questions for metric in question.metrics}.values())
    merged: Metrics | None = None
    for frame in frames:
        found = _metrics_on(frame, wanted)
        merged = found if merged is None else _merge(wanted, merged, found)
    return merged or {}


def _metrics_on(frame: Any, wanted: Sequence[Any]) -> Metrics:
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    engine = PandasExecutionEngine()
    engine.load_batch_data("block", frame)
    found, _ = MetricsCalculator(engine).compute_metrics(list(wanted), runtime_configuration=_yes_or_no())
    return {metric.id: found[metric.id] for metric in wanted if metric.id in found}


def _merge(wanted: Sequence[Any], own: Metrics, other: Metrics) -> Metrics:
    merged: Metrics = {}
    for metric in wanted:
        if metric.id not in own or metric.id not in other:
            continue
        name, first, second = metric.metric_name, own[metric.id], other[metric.id]
        if name in WEIGHED:
            weight = _weight(metric).id
            merged[metric.id] = _average(first, own[weight], second, other[weight])
        else:
            merged[metric.id] = first if name in STEADY else first + second
    return merged


def _average(first: float, of_first: int, second: float, of_second: int) -> float:
    """An average over no rows is NaN, and weighs nothing."""
    if not of_first or not of_second:
        return second if of_second else first
    return (first * of_first + second * of_second) / (of_first + of_second)
