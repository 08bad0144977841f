"""A staged day: canonical rows in Parquet files under _staging/, and all that is known about them."""

from datetime import date
from pathlib import Path

from mmoe.errors import PartitionMissingError
from mmoe.lake.manifest import (
    DataFile,
    LabelCount,
    Problem,
    SourceColumns,
    SourceFile,
    canonical_digest,
    from_json,
    to_json,
)
from mmoe.lake.partitions import staging_prefix
from mmoe.lake.store import Store
from mmoe.parsing import Frozen


class LateFile(Frozen):
    """Rows of another day that came with this one; publishing this day passes them on to theirs."""

    day: date
    file: DataFile


class Staged(Frozen):
    """What ingest made of a day. Not published, and not readable by anything but validation."""

    day: date
    as_of: date
    """Labels are final, or null, as of the start of this day."""
    schema_name: str
    schema_fingerprint: str
    files: tuple[DataFile, ...]
    """The rows: Parquet in canonical columns, ordered by (event_time, event_id), file after file."""
    late: tuple[LateFile, ...]
    sources: tuple[SourceFile, ...]
    source_columns: SourceColumns
    counts: dict[str, int]
    problems: tuple[Problem, ...]
    nulls: dict[str, int]
    labels: dict[str, LabelCount]
    view_type_rows: dict[str, int]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def digest(self) -> str:
        return canonical_digest(self.model_dump(mode="json"))

    @property
    def rows_digest(self) -> str:
        """The digest that the manifest of these rows will have."""
        return canonical_digest(self.model_dump(mode="json", include={"day", "files", "schema_fingerprint"}))


def save_staged(store: Store, staged: Staged) -> None:
    """Make what lies under _staging/ the staged day; what an earlier one left there goes."""
    store.write_bytes(staged_key(staged.day), to_json(staged))
    kept = {staged_key(staged.day), *(staging_prefix(staged.day) + file.name for file in staged.files)}
    store.delete(entry.key for entry in store.list(staging_prefix(staged.day)) if entry.key not in kept)


def load_staged(store: Store, day: date) -> Staged:
    """What the last `stage_day` made of the day. Raises PartitionMissingError when it has not run."""
    content = store.read_bytes(staged_key(day))
    if content is None:
        raise PartitionMissingError(f"day={day}: nothing is staged; run ingest for the day first.")
    return from_json(Staged, content, staged_key(day))


def staged_paths(store: Store, staged: Staged) -> tuple[Path, ...]:
    """Local files with the rows, in order. Raises PartitionMissingError when they are gone."""
    keys = [staging_prefix(staged.day) + file.name for file in staged.files]
    there = {entry.key for entry in store.list(staging_prefix(staged.day))}
    if not there.issuperset(keys):
        raise PartitionMissingError(f"day={staged.day}: the staged rows are gone; run ingest for the day again.")
    return tuple(store.local_path(key) for key in keys)


def staged_key(day: date) -> str:
    return staging_prefix(day) + "staged.json"
