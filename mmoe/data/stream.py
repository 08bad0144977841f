# ruff: noqa: N815  (shapes in names)
"""Partitions to batches of tensors: by row group, shuffled in a bounded buffer, the same for the same seed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from mmoe.data.features import encode, feature_columns
from mmoe.data.hashing import GroupShare
from mmoe.data.moments import Moments
from mmoe.data.rows import Ints, Rows, concatenate
from mmoe.data.teachers import DayTeacher, Teacher
from mmoe.lake.partitions import GROUP_ID
from mmoe.lake.reader import Partition
from mmoe.model.inputs import Inputs
from mmoe.schema import EVENT_ID, Schema

GroupsByDay = Mapping[date, Sequence[GroupShare]]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B rows ready for a network. Heads are in schema order."""

    inputs: Inputs
    labels_BH: Tensor
    """0, 1, or NaN where the label is not final."""
    teachers_BH: tuple[Tensor, ...]
    """Each teacher's logits, NaN where it has none."""
    group_B: Tensor | None = None
    """int64, equal for rows of one group, -1 where a row has none, when streamed with `with_groups`."""
    identity: pa.Table | None
    """event_id and group_id of the rows, when streamed with `with_identity`."""

    def __len__(self) -> int:
        return len(self.labels_BH)


def stream_batches(
    partitions: Sequence[Partition],
    schema: Schema,
    moments: Moments,
    *,
    batch_size: int,
    shuffle_rows: int = 0,
    seed: int = 0,
    teachers: Sequence[Teacher] = (),
    groups: GroupsByDay | None = None,
    with_groups: bool = False,
    with_identity: bool = False,
) -> Iterator[Batch]:
    """Every row once, in batches of `batch_size` (the last may be smaller).

    With shuffle_rows = 0 rows keep the partitions' order; otherwise each stretch of about that many rows is shuffled,
    so later days still come later; `with_groups`, whole groups are, so that listwise losses find lists in a batch.
    `groups` limits days to the groups that all their shares keep. Raises what reading teachers raises.
    """
    rng = np.random.default_rng(seed)
    rest: list[Rows] = []
    blocks = _blocks(partitions, schema, moments, teachers, groups or {}, with_groups, with_identity)
    for stretch in _stretches(blocks, shuffle_rows):
        shuffled = stretch.take(_permutation(stretch, rng)) if shuffle_rows else stretch
        rows = concatenate([*rest, shuffled])
        whole = len(rows) - len(rows) % batch_size
        yield from (_batch(rows, first, first + batch_size) for first in range(0, whole, batch_size))
        rest = [rows.take(np.arange(whole, len(rows)))] if whole < len(rows) else []
    yield from (_batch(rows, 0, len(rows)) for rows in rest)


def _blocks(
    partitions: Sequence[Partition],
    schema: Schema,
    moments: Moments,
    teachers: Sequence[Teacher],
    groups: GroupsByDay,
    with_groups: bool,
    with_identity: bool,
) -> Iterator[Rows]:
    """Encoded row groups, in order."""
    ids = {EVENT_ID: teachers or with_identity, GROUP_ID: groups or with_groups or with_identity}
    columns = [name for name, needed in ids.items() if needed] + feature_columns(schema)
    for partition in partitions:
        days = [DayTeacher(teacher, partition.day, schema.heads) for teacher in teachers]
        position = 0
        for table in _row_groups(partition.files, columns):
            logits = tuple(day.logits(position, table[EVENT_ID]) for day in days)
            position += len(table)
            for share in groups.get(partition.day, ()):
                kept = share.mask(table[GROUP_ID].combine_chunks())
                table, logits = table.filter(pa.array(kept)), tuple(logit[kept] for logit in logits)
            if len(table):
                yield encode(
                    table, schema, moments, teachers=logits, with_groups=with_groups, with_identity=with_identity
                )


def _row_groups(files: Iterable[Path], columns: list[str]) -> Iterator[pa.Table]:
    for file in files:
        with pq.ParquetFile(file) as parquet:
            for index in range(parquet.num_row_groups):
                yield parquet.read_row_group(index, columns=columns)


def _stretches(blocks: Iterable[Rows], rows: int) -> Iterator[Rows]:
    """Join blocks until at least `rows` rows are held."""
    held: list[Rows] = []
    for block in blocks:
        held.append(block)
        if sum(map(len, held)) >= rows:
            yield concatenate(held)
            held = []
    if held:
        yield concatenate(held)


def _permutation(rows: Rows, rng: np.random.Generator) -> Ints:
    """Of rows, or where they carry groups, of groups with their rows in order; a row without a group stands alone."""
    if rows.group is None:
        return rng.permutation(len(rows))
    alone = rows.group < 0
    groups = np.where(alone, -1 - np.arange(len(rows)), rows.group)
    _, members = np.unique(groups, return_inverse=True)
    return np.argsort(rng.permutation(members.max(initial=-1) + 1)[members], kind="stable")


def _batch(rows: Rows, first: int, last: int) -> Batch:
    part = rows.take(np.arange(first, min(last, len(rows))))
    return Batch(
        inputs=Inputs(
            categorical_BF=torch.from_numpy(part.categorical),
            numeric_BN=torch.from_numpy(part.numeric),
            missing_BN=torch.from_numpy(part.missing),
            bag_values=tuple(torch.from_numpy(bags.values) for bags in part.bags),
            bag_offsets=tuple(torch.from_numpy(bags.offsets) for bags in part.bags),
            view_type_B=torch.from_numpy(part.view_type),
        ),
        labels_BH=torch.from_numpy(part.labels),
        teachers_BH=tuple(torch.from_numpy(logits) for logits in part.teachers),
        group_B=None if part.group is None else torch.from_numpy(part.group),
        identity=part.identity,
    )
