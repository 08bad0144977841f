"""A staged day against its suite and against the days before it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmoe.errors import SchemaError
from mmoe.lake.examination import Examination, keep
from mmoe.lake.manifest import INGEST, Failure, LabelCount, Manifest, Validation
from mmoe.lake.profile import DayProfile, read_profiles
from mmoe.lake.staging import Staged, staged_paths
from mmoe.lake.store import Store
from mmoe.quality.blocks import Blocks, Frame
from mmoe.quality.bounds import ENOUGH_DAYS, bounds, usual_days, view_type_bounds
from mmoe.quality.drift import compare
from mmoe.quality.examine import Subject, examine
from mmoe.quality.profiling import Profiler
from mmoe.quality.sources import columns_beside
from mmoe.quality.suite import SUITES, load_suite
from mmoe.schema import VIEW_TYPE, Schema


def validate(
    store: Store, staged: Staged, schema: Schema, trailing: list[Manifest], *, suites: Path = SUITES
) -> Validation:
    """Check a staged day, and keep what was found under validation/dt=DAY/. Never raises for what the data holds.

    Status "failed" (a problem of ingest, or a critical expectation) keeps the day out of the lake; "warned" does not.
    Raises SchemaError when the suite file does not fit the schema, PartitionMissingError when the rows are gone.
    """
    if staged.schema_fingerprint != schema.fingerprint:
        raise SchemaError(f"day={staged.day}: staged under another schema than {schema.name!r}; run ingest again.")
    suite = load_suite(schema, suites)
    paths = staged_paths(store, staged)
    profile = _profile(staged, schema, paths)
    usual = usual_days(staged.day, trailing)
    earlier = read_profiles(store, usual)
    whole = Subject(
        view_type=None,
        rows=Blocks(paths=paths, prepare=lambda rows: with_list_lengths(rows, schema)),
        parameters=bounds(schema, staged.day, usual, staged.rows),
        unknown=_unknown(staged.labels),
    )
    subjects = [
        _with_source_columns(whole, staged, trailing),
        *(_on_view_type(name, paths, schema, profile, earlier) for name in schema.view_type.names),
    ]
    examination = Examination(
        day=staged.day,
        suite=suite["name"],
        subject=staged.digest,
        compared_with=tuple(past.day for past in usual),
        checks=examine(suite, [_with_drift(subject, schema, profile, earlier) for subject in subjects]),
    )
    keep(store, examination, profile)
    return examination.validation(_problems(staged))


def _problems(staged: Staged) -> tuple[Failure, ...]:
    return tuple(
        Failure(expectation=INGEST, column=problem.column, severity="critical", detail=str(problem))
        for problem in staged.problems
    )


def _profile(staged: Staged, schema: Schema, paths: tuple[Path, ...]) -> DayProfile:
    profiler = Profiler(schema)
    for table in Blocks(paths=paths).tables():
        profiler.add(table)
    return DayProfile(
        day=staged.day,
        subject=staged.digest,
        schema_fingerprint=schema.fingerprint,
        view_types=profiler.finish(),
    )


def _on_view_type(
    name: str, paths: tuple[Path, ...], schema: Schema, profile: DayProfile, earlier: Sequence[DayProfile]
) -> Subject:
    own = profile.of(name)
    return Subject(
        view_type=name,
        rows=Blocks(paths=paths, where=(VIEW_TYPE, name), columns=(VIEW_TYPE, *schema.heads)),
        parameters=view_type_bounds(schema, name, earlier, own.rows if own else 0),
        unknown=_unknown(own.labels) if own else frozenset(schema.heads),
    )


def _with_drift(subject: Subject, schema: Schema, profile: DayProfile, earlier: Sequence[DayProfile]) -> Subject:
    import pandas as pd

    if len(earlier) < ENOUGH_DAYS:
        return subject
    found = compare(schema, profile, earlier, subject.view_type)
    references = {f"{name}_reference": list(each.reference) for name, each in found.items()}
    counts = pd.DataFrame({name: pd.Series(each.observed, dtype=float) for name, each in found.items()})
    return replace(subject, parameters=subject.parameters | references, binned=Frame(frame=counts))


def _with_source_columns(subject: Subject, staged: Staged, trailing: Sequence[Manifest]) -> Subject:
    import pandas as pd

    compared = columns_beside(staged, trailing)
    if compared is None:
        return subject
    listed = pd.DataFrame({"column": list(compared.now), "type": list(compared.now.values())}, dtype=str)
    before = {"source_columns": compared.seen, "steady_source_columns": compared.steady}
    return replace(subject, parameters=subject.parameters | before, sources=Frame(frame=listed))


def _unknown(labels: Mapping[str, LabelCount]) -> frozenset[str]:
    """A mean of no values cannot be judged. Whether a label may be all null is for another expectation to say."""
    return frozenset(head for head, count in labels.items() if count.rate is None)


def with_list_lengths(rows: pa.Table, schema: Schema) -> pa.Table:
    """A multi-valued feature is checked by the lengths of its lists."""
    for name in schema.features.multivalued:
        rows = rows.set_column(rows.column_names.index(name), name, pc.list_value_length(rows[name]))
    return rows
