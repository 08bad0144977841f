"""Which row groups are read when: by epoch, by process of a data-parallel training, in windows that are shuffled."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field

from mmoe.errors import ConfigError
from mmoe.lake.reader import Partition
from mmoe.parsing import Frozen


class Position(Frozen):
    """The next row of a stream that no batch has held yet. Plain numbers, to be kept in a checkpoint."""

    epoch: int = Field(default=0, ge=0)
    window: int = Field(default=0, ge=0)
    """Of the process's own windows, from the epoch's first on."""
    row: int = Field(default=0, ge=0)
    """Among the window's rows in the order that they are handed out."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of `world` processes that read disjoint row groups and together all. Raises ConfigError for no such one."""

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ConfigError(f"rank={self.rank}: with {self.world} processes it lies between 0 and {self.world - 1}.")


ALONE = Shard()


@dataclass(frozen=True, kw_only=True)
class RowGroup:
    """A row group of a partition's file."""

    day: date
    file: Path
    index: int
    rows: int
    first: int
    """The position of its first row in the day."""


Window = tuple[RowGroup, ...]


def row_groups(partitions: Sequence[Partition]) -> Iterator[RowGroup]:
    """Those that have rows, in the partitions' order, from the files' footers."""
    for partition in partitions:
        first = 0
        for file in partition.files:
            for index, rows in enumerate(group_rows(file)):
                if rows:
                    yield RowGroup(day=partition.day, file=file, index=index, rows=rows, first=first)
                    first += rows


def group_rows(file: Path) -> list[int]:
    footer = pq.read_metadata(file)
    return [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]


def own(groups: Sequence[RowGroup], shard: Shard) -> list[RowGroup]:
    """The shard's row groups, in order. Each goes to the process with the fewest rows so far: days stay in order on
    each of them, and their rows differ by no more than the largest row group holds.
    """
    taken, mine = [0] * shard.world, []
    for group in groups:
        rank = taken.index(min(taken))
        taken[rank] += group.rows
        if rank == shard.rank:
            mine.append(group)
    return mine


def windows(groups: Sequence[RowGroup], rows: int, *, within_days: bool) -> list[Window]:
    """Consecutive row groups that hold at least `rows` rows together, the last ones maybe fewer; with `within_days`
    none holds rows of two days.
    """
    found: list[Window] = []
    held: list[RowGroup] = []
    for group in groups:
        if within_days and held and held[0].day != group.day:
            found.append(tuple(held))
            held = []
        held.append(group)
        if sum(each.rows for each in held) >= rows:
            found.append(tuple(held))
            held = []
    return [*found, tuple(held)] if held else found


def spread(planned: Sequence[Window], replayed: Sequence[RowGroup], seed: int) -> list[Window]:
    """The windows with earlier days' row groups among them, in a random order: each goes to the window that has the
    fewest such rows for its own so far. The same for the same seed.
    """
    windows = [list(window) for window in planned] or [[]]
    own = [max(1, sum(group.rows for group in window)) for window in windows]
    dealt = [(0.0, number) for number in range(len(windows))]
    for place in np.random.default_rng(seed).permutation(len(replayed)).tolist():
        share, number = dealt[0]
        windows[number].append(replayed[place])
        heapq.heapreplace(dealt, (share + replayed[place].rows / own[number], number))
    return [tuple(window) for window in windows if window]
