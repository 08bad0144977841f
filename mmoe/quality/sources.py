"""The columns that a day's raw files came with, beside those of the last published day."""

from collections.abc import Sequence

from mmoe.lake.columns import ROWS
from mmoe.lake.files import printable
from mmoe.lake.manifest import Manifest, SourceColumns
from mmoe.lake.staging import Staged

Columns = dict[str, str]
"""Column, told apart by what brought it, -> its type; empty where none is known."""


def columns_beside(staged: Staged, trailing: Sequence[Manifest]) -> tuple[Columns, Columns] | None:
    """The day's columns and the last published day's, of what both had; None where there is nothing to compare."""
    before = max((past for past in trailing if past.day < staged.day), key=lambda past: past.day, default=None)
    if before is None:
        return None
    both = [kind for kind in staged.source_columns if kind in before.source_columns]
    return (_named(staged.source_columns, both), _named(before.source_columns, both)) if both else None


def _named(columns: SourceColumns, kinds: Sequence[str]) -> Columns:
    return {
        printable(name if kind == ROWS else f"{name} of {kind}"): " or ".join(types)
        for kind in kinds
        for name, types in columns[kind].items()
    }
