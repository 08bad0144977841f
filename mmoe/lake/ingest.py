"""Landing zone to staged day: read, join, coerce, sort out, drop repeats. Faults of the data are data, not exceptions.

Memory is bounded whatever the day's size: rows pass by in blocks, meet their repeats shard by shard, and are merged
into order from sorted runs.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmoe.errors import PartitionMissingError
from mmoe.lake.arrivals import Arrivals
from mmoe.lake.columns import frozen
from mmoe.lake.conform import group_type, passing_schema
from mmoe.lake.files import UnreadableFileError, landing_files, landing_folder
from mmoe.lake.horizon import Horizon, read_horizons
from mmoe.lake.late import late_blocks, late_sources, whole_groups
from mmoe.lake.manifest import Problem
from mmoe.lake.merge import merge_sorted
from mmoe.lake.partitions import GROUP_ID, canonical_schema
from mmoe.lake.parts import Tally, write_parts
from mmoe.lake.reader import refuse_expired
from mmoe.lake.repeats import PASSING, SOURCE, Repeats, drop_repeats
from mmoe.lake.rewrite import EXPIRED_ROWS, unexpired
from mmoe.lake.routing import Router, scratch
from mmoe.lake.spill import LIMIT_BYTES, Spill
from mmoe.lake.staging import Staged, save_staged
from mmoe.lake.store import Store
from mmoe.lake.tables import load_side_tables
from mmoe.schema import Schema


def stage_day(
    store: Store, landing: Path, schema: Schema, day: date, *, as_of: date | None = None, limit: int = LIMIT_BYTES
) -> Staged:
    """Bring what has arrived for a day into canonical form under _staging/. Runs again with the same outcome.

    Labels that are not final at the start of `as_of` (default: the next day) are null. Rows of about `limit` bytes are
    held before they go to scratch files. Files and values that do not fit the schema become `Staged.problems`. Raises
    PartitionMissingError when no file (or no side table) has arrived, PartitionExpiredError when the day is behind the
    retention horizon. Two processes must not stage one day at a time: hold `day_lock`.
    """
    refuse_expired(store, day)
    paths = _arrived(landing, day)
    side = load_side_tables(landing, schema)
    horizons = read_horizons(store)
    as_of = as_of or day + timedelta(days=1)
    with scratch(landing, day) as folder:
        arrivals = Arrivals(landing, day, schema, side)
        router = Router(landing, day, schema, horizons)
        spill = Spill(folder, pa.schema([*passing_schema(schema), *PASSING]), limit=limit)
        for block in arrivals.blocks(paths):
            spill.add(router.own(block))
        late_rows = _gather_late(store, day, schema, arrivals, spill)
        settled = _Settled(schema, day, as_of, horizons, whole_groups=arrivals.whole_groups)
        ordered = merge_sorted(settled.distinct(spill, arrivals.unreadable), folder)
        files = write_parts(store, day, settled.tally.watch(ordered), settled.target, folder)
        problems = (*side.problems, *arrivals.problems, *router.problems())
        late = () if problems else router.stage(store, whole_groups=arrivals.whole_groups)
    staged = Staged(
        day=day,
        as_of=as_of,
        schema_name=schema.name,
        schema_fingerprint=schema.fingerprint,
        files=tuple(files),
        late=late,
        sources=(*arrivals.sources, *side.sources),
        source_columns=frozen(arrivals.columns),
        counts=arrivals.counts | router.counts | settled.counts(arrivals.counts["duplicates"], late_rows),
        problems=problems,
        nulls=settled.tally.nulls,
        labels=settled.tally.labels,
        view_type_rows=settled.tally.view_type_rows,
    )
    save_staged(store, staged)
    return staged


def day_lock(day: date) -> str:
    """Name of the lock that whoever stages, validates or publishes the day holds meanwhile."""
    return f"day-{day.isoformat()}"


def _arrived(landing: Path, day: date) -> list[Path]:
    paths = landing_files(landing, day)
    if not paths:
        raise PartitionMissingError(
            f"No landing files for {day} under {landing_folder(landing, day)}; when they arrive, clear this run or "
            "backfill with reprocess=failed."
        )
    return paths


def _gather_late(store: Store, day: date, schema: Schema, arrivals: Arrivals, spill: Spill) -> int:
    """Add what other days' files had for this one; returns how many rows."""
    rows = 0
    for source, path in late_sources(store, day):
        arrivals.sources.append(source)
        try:
            arrivals.whole_groups &= whole_groups(source, path, schema)
            for block in late_blocks(path, len(arrivals.sources) - 1):
                spill.add(block)
                rows += block.num_rows
        except UnreadableFileError as error:
            arrivals.problems.append(Problem(file=source.name, what=str(error)))
    return rows


class _Settled:
    """The day's rows, each event once, without what has expired meanwhile; and how many went, by reason."""

    def __init__(self, schema: Schema, day: date, as_of: date, horizons: Horizon | None, *, whole_groups: bool) -> None:
        self.schema = schema
        self.day = day
        self.age = (as_of - day).days - 1
        self.horizons = horizons
        self.target = canonical_schema(schema, group_type(schema, whole=whole_groups))
        self.tally = Tally(schema)
        self.dropped = [Repeats()]
        self.expired = 0

    def distinct(self, spill: Spill, unreadable: set[int]) -> Iterator[pa.Table]:
        """Shard by shard, without the rows of files that turned out to be unreadable."""
        maturity = {name: label.maturity_days for name, label in self.schema.labels.items()}
        group = self.target.get_field_index(GROUP_ID)
        for shard in spill.shards():
            if unreadable:
                numbers = pa.array(sorted(unreadable), pa.int32())
                shard = shard.filter(pc.invert(pc.is_in(shard[SOURCE], value_set=numbers)))
            rows, dropped = drop_repeats(shard, maturity, self.age)
            kept = unexpired(rows, self.schema, self.day, self.horizons)
            self.dropped.append(dropped)
            self.expired += rows.num_rows - kept.num_rows
            field = self.target.field(group)
            yield kept.set_column(group, field, kept[GROUP_ID].cast(field.type))

    def counts(self, repeated: int, late: int) -> dict[str, int]:
        """`repeated`: duplicates that came as whole files; `late`: rows that came with other days."""
        total = Repeats(*(sum(reason) for reason in zip(*self.dropped, strict=True)))
        own = {"duplicates": repeated + total.duplicates, "late_rows": late, EXPIRED_ROWS: self.expired}
        return total._asdict() | own
