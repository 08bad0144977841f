"""Drift as an expectation of Great Expectations. Imported only while something is validated."""

from typing import Any, ClassVar

from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnAggregateExpectation
from great_expectations.expectations.metrics.column_aggregate_metric_provider import (
    ColumnAggregateMetricProvider,
    column_aggregate_value,
)

from mmoe.evaluate.shift import stability_index


class ColumnPsi(ColumnAggregateMetricProvider):
    """PSI of a column of counts, a row a bin, against the reference's counts in the same bins."""

    metric_name = "column.psi"
    value_keys = ("reference",)

    @column_aggregate_value(engine=PandasExecutionEngine)
    def _pandas(cls, column: Any, reference: list[int], **_: Any) -> float:  # noqa: N805
        return stability_index(reference, column.dropna().to_list())


class ExpectColumnPsiToBeBetween(ColumnAggregateExpectation):
    """Expect a feature to be distributed as on the days before, by the population stability index."""

    min_value: float | None = None
    max_value: float | None = None
    reference: list[int]

    metric_dependencies: ClassVar[tuple[str, ...]] = ("column.psi",)
    success_keys: ClassVar[tuple[str, ...]] = ("reference", "min_value", "max_value")

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        found = metrics["column.psi"]
        above = self.min_value is None or found >= self.min_value
        below = self.max_value is None or found <= self.max_value
        return {"success": above and below, "result": {"observed_value": found}}
