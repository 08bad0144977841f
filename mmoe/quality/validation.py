"""Great Expectations on a staged day. Its results carry row values; only booleans and counts leave this module."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmoe.errors import SchemaError
from mmoe.lake.manifest import INGEST, Failure, Manifest, Severity, Validation
from mmoe.lake.staging import Staged, staged_paths
from mmoe.lake.store import Store
from mmoe.quality.bounds import bounds
from mmoe.quality.suite import SUITES, load_suite
from mmoe.schema import Schema

COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}
COUNTS = ("element_count", "missing_count", "unexpected_count")


def validate(
    store: Store, staged: Staged, schema: Schema, trailing: list[Manifest], *, suites: Path = SUITES
) -> Validation:
    """Check a staged day against its suite and against the days before it. Never raises for what the data holds.

    Status "failed" (a problem of ingest, or a critical expectation) keeps the day out of the lake; "warned" does not.
    Raises SchemaError when the suite file does not fit the schema, PartitionMissingError when the rows are gone.
    """
    if staged.schema_fingerprint != schema.fingerprint:
        raise SchemaError(f"day={staged.day}: staged under another schema than {schema.name!r}; run ingest again.")
    paths = staged_paths(store, staged)
    problems = tuple(
        Failure(expectation=INGEST, column=problem.column, severity="critical", detail=str(problem))
        for problem in staged.problems
    )
    suite = load_suite(schema, suites)
    rules = [rule for rule in suite["expectations"] if not _on_unknown_label(rule, staged, schema)]
    found = _run(rules, bounds(schema, staged.day, trailing, staged.rows), paths, schema)
    failures = (*problems, *_gravest(found))
    critical = any(failure.severity == "critical" for failure in failures)
    return Validation(
        status="failed" if critical else "warned" if failures else "passed",
        subject=staged.digest,
        checks=len(rules) + 1,  # one for ingest's own
        failures=failures,
    )


def _on_unknown_label(rule: dict[str, Any], staged: Staged, schema: Schema) -> bool:
    """A mean of no values cannot be judged. Whether a label may be all null is for another expectation to say."""
    head = rule["kwargs"].get("column")
    return rule["type"] == "expect_column_mean_to_be_between" and head in schema.labels and _is_unknown(staged, head)


def _is_unknown(staged: Staged, head: str) -> bool:
    count = staged.labels[head]
    return count.positives + count.negatives == 0


def _run(
    rules: list[dict[str, Any]], parameters: dict[str, Any], paths: tuple[Path, ...], schema: Schema
) -> list[Failure]:
    """All expectations for a yes or no; then only those that failed, for their counts."""
    batch = _batch(paths, schema)
    failed = [rule for rule, result in _validate(batch, rules, parameters, "BOOLEAN_ONLY") if not result.success]
    return [_failure(rule, result) for rule, result in _validate(batch, failed, parameters, COUNTS_ONLY)]


def _gravest(failures: list[Failure]) -> list[Failure]:
    """Without the warnings whose critical form failed too."""
    critical = {(failure.expectation, failure.column) for failure in failures if failure.severity == "critical"}
    return [
        failure
        for failure in failures
        if failure.severity == "critical" or (failure.expectation, failure.column) not in critical
    ]


def _batch(paths: tuple[Path, ...], schema: Schema) -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read once, when the package is imported
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    table = pa.concat_tables(pq.read_table(path) for path in paths)
    for name in schema.features.multivalued:
        position = table.column_names.index(name)
        table = table.set_column(position, name, pc.list_value_length(table[name]))
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("lake").add_dataframe_asset("staged")
    return asset.add_batch_definition_whole_dataframe("day").get_batch({"dataframe": table.to_pandas()})


def _validate(
    batch: Any, rules: list[dict[str, Any]], parameters: dict[str, Any], result_format: str | dict[str, Any]
) -> list[tuple[dict[str, Any], Any]]:
    """Each rule with its result. The results come in an order of their own, so each rule carries its number."""
    if not rules:
        return []
    import great_expectations as gx

    numbered = [{**rule, "meta": {"number": number}} for number, rule in enumerate(rules)]
    used = {name: value for name, value in parameters.items() if name in _parameters(rules)}
    outcome = batch.validate(
        gx.ExpectationSuite(name="day", expectations=numbered), result_format=result_format, expectation_parameters=used
    )
    results = {result.expectation_config.meta["number"]: result for result in outcome.results}
    return [(rule, results[number]) for number, rule in enumerate(rules)]


def _parameters(rules: list[dict[str, Any]]) -> set[str]:
    bounds_of = [value for rule in rules for value in rule["kwargs"].values() if isinstance(value, dict)]
    return {value["$PARAMETER"] for value in bounds_of if "$PARAMETER" in value}


def _failure(rule: dict[str, Any], result: Any) -> Failure:
    kwargs = rule["kwargs"]
    column = kwargs.get("column") or kwargs.get("column_B")
    counts = {name: int(result.result[name]) for name in COUNTS if isinstance(result.result.get(name), int)}
    if result.exception_info and result.exception_info.get("raised_exception"):
        detail = "could not be evaluated on this column"
    elif "unexpected_count" in counts:
        detail = f"{counts['unexpected_count']} of {counts['element_count']} rows"
    else:
        detail = "the day as a whole is outside the bounds"
    severity: Severity = rule["severity"]
    return Failure(expectation=rule["type"].removeprefix("expect_"), column=column, severity=severity, detail=detail)
