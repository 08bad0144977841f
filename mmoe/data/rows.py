"""A block of encoded rows: each row is one record of 4-byte words, so that shuffling moves a row in one copy."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where a record keeps what. Order: group (two words), categorical, view type, numeric, labels, teachers.

    The number of words is even and the group comes first, so that it can be read as one 64-bit integer.
    """

    categorical: int
    numeric: int
    heads: int
    teachers: int = 0
    groups: bool = False

    @property
    def categorical_at(self) -> int:
        return 2 * self.groups

    @property
    def view_type_at(self) -> int:
        return self.categorical_at + self.categorical

    @property
    def numeric_at(self) -> int:
        return self.view_type_at + 1

    @property
    def labels_at(self) -> int:
        return self.numeric_at + self.numeric

    def teacher_at(self, teacher: int) -> int:
        return self.labels_at + (1 + teacher) * self.heads

    @property
    def width(self) -> int:
        """Words of a record."""
        return (self.teacher_at(self.teachers) + 1) // 2 * 2

    def empty(self, rows: int) -> Words:
        return np.empty((rows, self.width), dtype=np.int32)


@dataclass(frozen=True, kw_only=True)
class Bags:
    """One multi-valued feature of N rows: row i holds values[ends[i] - counts[i] : ends[i]]."""

    values: Ints
    counts: Ints

    def take(self, rows: Ints) -> "Bags":
        counts = self.counts[rows]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return Bags(values=self.values[np.repeat(self.offsets[rows], counts) + within], counts=counts)

    @cached_property
    def offsets(self) -> Ints:
        """(N,) where each row's values start."""
        return np.cumsum(self.counts) - self.counts


@dataclass(frozen=True, kw_only=True)
class Rows:
    """N encoded rows. Feature and head order are the schema's."""

    layout: Layout
    words: Words
    """(N, layout.width) records; floats lie in them bit by bit."""
    bags: tuple[Bags, ...] = ()
    identity: pa.Table | None = None
    """(N) event_id and group_id, when asked for."""

    def __len__(self) -> int:
        return len(self.words)

    @property
    def categorical(self) -> Words:
        """(N, C) embedding rows."""
        return self.words[:, self.layout.categorical_at : self.layout.view_type_at]

    @property
    def view_type(self) -> Words:
        """(N,) index into schema.view_type.names."""
        return self.words[:, self.layout.view_type_at]

    @property
    def numeric(self) -> Floats:
        """(N, M) standardised, NaN where missing."""
        return self.floats[:, self.layout.numeric_at : self.layout.labels_at]

    @property
    def labels(self) -> Floats:
        """(N, H), NaN where not final."""
        return self.floats[:, self.layout.labels_at : self.layout.teacher_at(0)]

    def teacher(self, teacher: int) -> Floats:
        """(N, H) logits of a teacher, NaN where it has none."""
        return self.floats[:, self.layout.teacher_at(teacher) : self.layout.teacher_at(teacher + 1)]

    @property
    def group(self) -> Ints | None:
        """(N,) non-negative codes of group_id, -1 where it is null, when asked for."""
        return self.words[:, :2].view(np.int64)[:, 0] if self.layout.groups else None

    @property
    def floats(self) -> Floats:
        return self.words.view(np.float32)

    def spoken(self, teacher: int) -> tuple[int, ...] | None:
        """The heads for which a teacher has logits, if it has them on every row; None if it has them on some."""
        silent = np.isnan(self.teacher(teacher)).sum(axis=0)
        return None if ((silent > 0) & (silent < len(self))).any() else tuple(np.flatnonzero(silent == 0).tolist())

    @property
    def view_type_sizes(self) -> tuple[int, ...] | None:
        """How many rows there are of each view type, where they stand view type by view type."""
        in_order = (self.view_type[1:] >= self.view_type[:-1]).all()
        return tuple(np.bincount(self.view_type).tolist()) if in_order else None

    def by_view_type(self) -> "Rows":
        """A copy view type by view type, in which those of one keep their order."""
        return self.take(np.argsort(self.view_type, kind="stable"))

    def take(self, rows: Ints) -> "Rows":
        """A copy of the rows at these positions, in this order."""
        return Rows(
            layout=self.layout,
            words=self.words.take(rows, axis=0),
            bags=tuple(bags.take(rows) for bags in self.bags),
            identity=None if self.identity is None else self.identity.take(rows),
        )


def concatenate(blocks: Sequence[Rows]) -> Rows:
    """The rows of all blocks, in order; the blocks must be encoded alike."""
    if len(blocks) == 1:
        return blocks[0]
    return Rows(
        layout=blocks[0].layout,
        words=np.concatenate([block.words for block in blocks]),
        bags=joined_bags(blocks),
        identity=joined_identity(blocks),
    )


def joined_bags(blocks: Sequence[Rows]) -> tuple[Bags, ...]:
    return tuple(
        Bags(values=np.concatenate([bag.values for bag in same]), counts=np.concatenate([bag.counts for bag in same]))
        for same in zip(*(block.bags for block in blocks), strict=True)
    )


def joined_identity(blocks: Sequence[Rows]) -> pa.Table | None:
    identities = [block.identity for block in blocks]
    return None if None in identities else pa.concat_tables(identities)
