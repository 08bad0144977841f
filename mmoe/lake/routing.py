"""Every row to its own day: the folder's day keeps its own, those of the days around it go to files of their own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmoe.lake.conform import day_offsets
from mmoe.lake.horizon import Horizon
from mmoe.lake.manifest import Problem
from mmoe.lake.partitions import staged_late_prefix
from mmoe.lake.parts import stage_file
from mmoe.lake.repeats import DELIVERED
from mmoe.lake.rewrite import unexpired
from mmoe.lake.staging import LateFile
from mmoe.lake.store import Store, remove_empty_folders
from mmoe.schema import EVENT_TIME, Schema

AHEAD_DAYS = 1
"""An event may bear a time so many days after the day it came with; more is a fault of a clock."""
SCHEMA_KEY, GROUPS_KEY = "mmoe.schema", "mmoe.whole_groups"
SCRATCH = "_scratch"


def scratch_folder(landing: Path, origin: date, day: date) -> Path:
    """Where ingest of `origin` keeps rows of `day` while it works: in the landing zone, to expire with `day`."""
    return landing / SCRATCH / f"dt={day.isoformat()}" / f"for={origin.isoformat()}"


@contextmanager
def scratch(landing: Path, origin: date) -> Iterator[Path]:
    """A folder for the rows of `origin`, empty at first and gone in the end; what a killed run left goes with it."""
    _clear(landing, origin)
    folder = scratch_folder(landing, origin, origin)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        _clear(landing, origin)


class Router:
    """Passes on the rows of one day, keeps those of others in scratch files, and counts what it refuses."""

    def __init__(self, landing: Path, origin: date, schema: Schema, horizons: Horizon | None) -> None:
        self.landing = landing
        self.origin = origin
        self.schema = schema
        self.horizons = horizons
        earliest = origin - timedelta(days=schema.source.late_days)
        self.first = (max(earliest, horizons.day) if horizons else earliest) - origin
        self.counts = {"off_day_rows": 0, "refused_rows": 0}
        self.ahead = 0
        self._writers: dict[date, pq.ParquetWriter] = {}
        self._rows: dict[date, int] = {}

    def own(self, rows: pa.Table) -> pa.Table:
        """The day's own rows, and those without a time."""
        offsets = day_offsets(rows[EVENT_TIME], self.schema, self.origin)
        if not offsets.any():
            return rows
        near = (offsets >= self.first.days) & (offsets <= AHEAD_DAYS)
        self.counts["off_day_rows"] += int((offsets != 0).sum())
        self.counts["refused_rows"] += int((~near).sum())
        self.ahead += int((offsets > AHEAD_DAYS).sum())
        for offset in np.unique(offsets[near & (offsets != 0)]):
            self._keep(rows.filter(pa.array(offsets == offset)), self.origin + timedelta(days=int(offset)))
        return rows.filter(pa.array(offsets == 0))

    def problems(self) -> list[Problem]:
        what = f"events more than a day after {self.origin}; correct the producer's clock, or deliver them on their day"
        return [Problem(column=EVENT_TIME, what=what, rows=self.ahead)] if self.ahead else []

    def stage(self, store: Store, *, whole_groups: bool) -> tuple[LateFile, ...]:
        """The other days' rows into the store's staging area, where publishing this day finds them."""
        files = []
        for day, writer in sorted(self._writers.items()):
            writer.add_key_value_metadata({SCHEMA_KEY: self.schema.fingerprint, GROUPS_KEY: str(whole_groups)})
            writer.close()
            stem = f"{staged_late_prefix(day, self.origin)}rows"
            files.append(LateFile(day=day, file=stage_file(store, self._path(day), stem, self._rows[day])))
        return tuple(files)

    def _keep(self, rows: pa.Table, day: date) -> None:
        came = rows.num_rows
        rows = unexpired(rows, self.schema, day, self.horizons)
        self.counts["refused_rows"] += came - rows.num_rows
        delivered = pa.array(np.full(rows.num_rows, (self.origin - day).days, np.int16))
        rows = rows.set_column(rows.column_names.index(DELIVERED), rows.schema.field(DELIVERED), delivered)
        if day not in self._writers:
            self._path(day).parent.mkdir(parents=True, exist_ok=True)
            self._writers[day] = pq.ParquetWriter(self._path(day), rows.schema, compression="zstd")
        self._writers[day].write_table(rows)
        self._rows[day] = self._rows.get(day, 0) + rows.num_rows

    def _path(self, day: date) -> Path:
        return scratch_folder(self.landing, self.origin, day) / "rows.parquet"


def _clear(landing: Path, origin: date) -> None:
    for folder in sorted((landing / SCRATCH).glob(f"dt=*/for={origin.isoformat()}")):
        shutil.rmtree(folder)
        remove_empty_folders(folder.parent, landing)
