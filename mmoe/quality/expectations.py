"""Drift, of values and of source columns, as expectations of Great Expectations. Imported only while validating."""

from typing import Any, ClassVar

from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation, ColumnAggregateExpectation
from great_expectations.expectations.metrics.column_aggregate_metric_provider import (
    ColumnAggregateMetricProvider,
    column_aggregate_value,
)
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from mmoe.evaluate.shift import stability_index
from mmoe.quality.sources import OR


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


class TableSourceColumns(TableMetricProvider):
    """The rows of a table of columns and their types, as a mapping."""

    metric_name = "table.source_columns"

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls,  # noqa: N805
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        **_: Any,
    ) -> dict[str, str]:
        frame, *_others = execution_engine.get_compute_domain(metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE)
        return dict(zip(frame["column"], frame["type"], strict=True))


class SourceColumnsExpectation(BatchExpectation):
    """Raw files' columns beside those of earlier days: column -> its type, empty where none is known."""

    reference: dict[str, str]

    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.source_columns",)
    success_keys: ClassVar[tuple[str, ...]] = ("reference",)

    def differences(self, found: dict[str, str]) -> tuple[str, ...]:
        """Columns that are not as before, in words."""
        raise NotImplementedError

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        differences = self.differences(metrics["table.source_columns"])
        return {"success": not differences, "result": {"observed_value": len(differences)}}


class ExpectSourceColumnsToBeKnown(SourceColumnsExpectation):
    """Expect no column that was not there before."""

    def differences(self, found: dict[str, str]) -> tuple[str, ...]:
        return tuple(name for name in found if name not in self.reference)


class ExpectSourceColumnsToRemain(SourceColumnsExpectation):
    """Expect every column that was there before."""

    def differences(self, found: dict[str, str]) -> tuple[str, ...]:
        return tuple(name for name in self.reference if name not in found)


class ExpectSourceTypesToRemain(SourceColumnsExpectation):
    """Expect every column with types that it had before, where any are known."""

    def differences(self, found: dict[str, str]) -> tuple[str, ...]:
        before = {name: self.reference.get(name) for name in found}
        return tuple(
            f"{name} (was {was}, is {found[name]})"
            for name, was in before.items()
            if was and found[name] and not {*found[name].split(OR)} <= {*was.split(OR)}
        )
