"""Partitions to batches of tensors: by row group, shuffled in a bounded buffer, the same for the same seed."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from mmoe.data.batch import Batch
from mmoe.data.moments import Moments
from mmoe.data.order import ALONE, Position, Shard, Window, own, row_groups, spread, windows
from mmoe.data.rows import Ints, Rows, concatenate
from mmoe.data.teachers import Teacher
from mmoe.data.windows import GroupsByDay, WindowReader
from mmoe.lake.reader import Partition
from mmoe.schema import Schema

START = Position()


def stream_batches(
    partitions: Sequence[Partition],
    schema: Schema,
    moments: Moments,
    *,
    batch_size: int,
    shuffle_rows: int = 0,
    seed: int = 0,
    epochs: int = 1,
    start: Position = START,
    shard: Shard = ALONE,
    within_days: bool = False,
    replayed: Sequence[Partition] = (),
    teachers: Sequence[Teacher] = (),
    groups: GroupsByDay | None = None,
    with_groups: bool = False,
    with_identity: bool = False,
) -> Iterator[Batch]:
    """Every row of the shard once an epoch, in batches of `batch_size` (an epoch's last may be smaller).

    With shuffle_rows = 0 rows keep the partitions' order; otherwise each window of about that many rows (a share of
    them on each of several processes) is shuffled, so later days still come later; with `within_days` no window holds
    rows of two days, but for those of `replayed` days, which are spread evenly over all windows; `with_groups`, whole
    groups are shuffled, so that listwise losses find lists in a batch.

    The rows of a batch beside a teacher's logits stand view type by view type, else as they come.
    The order depends on the seed, the epoch and the shard alone. From `start`, an earlier batch's `after`, come exactly
    the batches that followed it; no window before it is read again. `groups` limits days to the groups that all their
    shares keep. Raises what reading teachers raises.
    """
    reader = WindowReader(
        schema=schema,
        moments=moments,
        teachers=teachers,
        groups=groups or {},
        with_groups=with_groups,
        with_identity=with_identity,
    )
    mine, again = (own(list(row_groups(days)), shard) for days in (partitions, replayed))
    read, new = (sum(group.rows for group in groups) for groups in ([*mine, *again], mine))
    held = math.ceil(Fraction(shuffle_rows * new, shard.world * max(1, read)))
    plan = spread(windows(mine, held, within_days=within_days), again, seed)
    for epoch in range(start.epoch, epochs):
        first = start if epoch == start.epoch else Position(epoch=epoch)
        ordered = _ordered(reader, plan, first, (seed, shard.rank) if shuffle_rows else None)
        yield from _batches(ordered, first, batch_size)


def _ordered(
    reader: WindowReader, plan: Sequence[Window], first: Position, seed: tuple[int, int] | None
) -> Iterator[tuple[Rows, Ints]]:
    """Each window's rows and the order to hand them out in."""
    for number, rows in enumerate(reader.read(plan[first.window :]), start=first.window):
        yield rows, np.arange(len(rows)) if seed is None else _permutation(rows, (*seed, first.epoch, number))


def _batches(ordered: Iterator[tuple[Rows, Ints]], first: Position, batch_size: int) -> Iterator[Batch]:
    """What a window leaves over starts the next one's first batch."""
    rest: list[Rows] = []
    for number, (rows, order) in enumerate(ordered, start=first.window):
        begin = first.row if number == first.window else 0
        while (end := begin + batch_size - sum(map(len, rest))) <= len(order):
            taken = concatenate([*rest, rows.take(order[begin:end])])
            yield Batch.of(arranged(taken), Position(epoch=first.epoch, window=number, row=end))
            rest, begin = [], end
        if begin < len(order):
            rest.append(rows.take(order[begin:]))
    if rest:
        yield Batch.of(arranged(concatenate(rest)), Position(epoch=first.epoch + 1))


def arranged(batch: Rows) -> Rows:
    """Distillation compares rows of one view type: beside a teacher's logits they stand together."""
    return batch.by_view_type() if batch.layout.teachers else batch


def _permutation(rows: Rows, seed: tuple[int, ...]) -> Ints:
    """Of rows, or where they carry groups, of groups with their rows in order; a row without a group stands alone."""
    rng = np.random.default_rng(seed)
    if rows.group is None:
        return rng.permutation(len(rows))
    alone = rows.group < 0
    groups = np.where(alone, -1 - np.arange(len(rows)), rows.group)
    _, members = np.unique(groups, return_inverse=True)
    return np.argsort(rng.permutation(members.max(initial=-1) + 1)[members], kind="stable")
