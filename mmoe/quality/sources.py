"""The columns that a day's raw files came with, beside those of the published days before it."""

from collections.abc import Sequence
from typing import NamedTuple

from mmoe.lake.columns import ROWS, ColumnTypes, add, frozen
from mmoe.lake.files import printable
from mmoe.lake.manifest import Manifest, SourceColumns
from mmoe.lake.staging import Staged
from mmoe.quality.bounds import TRAILING_DAYS

OR = " or "
"""Between the types of one column."""
Columns = dict[str, str]
"""Column, told apart by what brought it, -> its types; empty where none is known."""


class Beside(NamedTuple):
    now: Columns
    seen: Columns
    """On any of the days before, with every type that they had: a field that comes and goes is not new each time."""
    steady: Columns
    """On each of them."""


def columns_beside(staged: Staged, trailing: Sequence[Manifest]) -> Beside | None:
    """The day's columns, and those of the last TRAILING_DAYS published days, of what both brought; None where there is
    nothing to compare."""
    past = sorted((each for each in trailing if each.day < staged.day), key=lambda each: each.day)[-TRAILING_DAYS:]
    days = {kind: [each.source_columns[kind] for each in past if kind in each.source_columns]
            for kind in staged.source_columns}  # fmt: skip
    total: dict[str, ColumnTypes] = {}
    for kind, found in days.items():
        for columns in found:
            add(total, kind, columns)
    if not total:
        return None
    seen = frozen(total)
    steady = {
        kind: {name: types for name, types in columns.items() if all(name in each for each in days[kind])}
        for kind, columns in seen.items()
    }
    return Beside(_named({kind: staged.source_columns[kind] for kind in seen}), _named(seen), _named(steady))


def _named(columns: SourceColumns) -> Columns:
    return {
        printable(name if kind == ROWS else f"{name} of {kind}"): OR.join(types)
        for kind, found in columns.items()
        for name, types in found.items()
    }
