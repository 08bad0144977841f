"""Windows of row groups, decoded and encoded ahead of their use, into buffers that are used again."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice

import numpy as np
import pyarrow.parquet as pq
import torch

from mmoe.data.arrays import flat, mask
from mmoe.data.columns import RowGroupColumns
from mmoe.data.features import encode, read_columns, record_layout, text_columns
from mmoe.data.hashing import GroupShare
from mmoe.data.moments import Moments
from mmoe.data.order import RowGroup, Window
from mmoe.data.rows import Rows, Words, joined_bags, joined_identity
from mmoe.data.teachers import DayTeacher, Teacher
from mmoe.lake.partitions import GROUP_ID
from mmoe.schema import EVENT_ID, Schema

READERS = 2
"""Row groups that are decoded at once, or one where PyTorch has one thread: two are four million rows a second."""
GroupsByDay = Mapping[date, Sequence[GroupShare]]


@dataclass(frozen=True, kw_only=True)
class Started:
    """A window that is being read: each part's rows, and where in the buffer they begin."""

    buffer: Words
    parts: list[tuple[int, "Future[Rows]"]]


@dataclass(kw_only=True)
class WindowReader:
    """Reads windows in order, the next ones while one is used: two buffers of the largest window, whatever the data."""

    schema: Schema
    moments: Moments
    teachers: Sequence[Teacher]
    groups: GroupsByDay
    """Days of which only the groups are read that all the day's shares keep."""
    with_groups: bool
    with_identity: bool
    _days: dict[date, list[DayTeacher]] = field(default_factory=dict, init=False)

    def read(self, windows: Sequence[Window]) -> Iterator[Rows]:
        """Each window's rows, in order, overwritten once the next are asked for. Raises what teachers raise."""
        layout = record_layout(self.schema, self.moments, teachers=len(self.teachers), groups=self.with_groups)
        largest = max((sum(group.rows for group in window) for window in windows), default=0)
        free: list[Words] = []
        upcoming, started = iter(windows), deque[Started]()
        readers = min(READERS, torch.get_num_threads())
        pool = ThreadPoolExecutor(readers, thread_name_prefix="mmoe-read")
        try:
            while True:
                while len(started) < 2 or sum(len(each.parts) for each in islice(started, 1, None)) < readers:
                    window = next(upcoming, None)
                    if window is None:
                        break
                    buffer = free.pop() if free else layout.empty(largest)
                    started.append(self._start(pool, window, buffer))
                if not started:
                    return
                ready = started.popleft()
                yield joined(ready.buffer, [(first, part.result()) for first, part in ready.parts])
                free.append(ready.buffer)
        finally:
            pool.shutdown(cancel_futures=True)

    def _start(self, pool: ThreadPoolExecutor, window: Window, buffer: Words) -> Started:
        parts, first = [], 0
        self._days = {day: teachers for day, teachers in self._days.items() if day >= window[0].day}
        for group in window:
            if group.day not in self._days:
                self._days[group.day] = [DayTeacher(t, group.day, self.schema.heads) for t in self.teachers]
            into = buffer[first : first + group.rows]
            parts.append((first, pool.submit(self._load, group, self._days[group.day], into)))
            first += group.rows
        return Started(buffer=buffer, parts=parts)

    def _load(self, group: RowGroup, teachers: Sequence[DayTeacher], into: Words) -> Rows:
        with pq.ParquetFile(group.file, memory_map=True, read_dictionary=text_columns(self.schema)) as parquet:
            columns = RowGroupColumns(parquet=parquet, index=group.index, names=read_columns(self.schema))
            logits = tuple(teacher.logits(group.first, columns[EVENT_ID]) for teacher in teachers)
            if shares := self.groups.get(group.day):
                ids = flat(columns[GROUP_ID])
                kept = np.logical_and.reduce([share.mask(ids) for share in shares])
                columns, logits = replace(columns, kept=mask(kept)), tuple(logit[kept] for logit in logits)
            return encode(
                columns,
                self.schema,
                self.moments,
                teachers=logits,
                with_groups=self.with_groups,
                with_identity=self.with_identity,
                into=into,
            )


def joined(buffer: Words, parts: Sequence[tuple[int, Rows]]) -> Rows:
    """All parts' rows. Each part lies in the buffer from its place on; gaps, where rows were left out, are closed."""
    written = 0
    for first, part in parts:
        if first != written:
            buffer[written : written + len(part)] = part.words
        written += len(part)
    rows = [part for _, part in parts]
    return Rows(
        layout=rows[0].layout,
        words=buffer[:written],
        bags=joined_bags(rows),
        identity=joined_identity(rows),
    )
