# ruff: noqa: N802, N806  (shapes in names)
"""What a network trains on or scores at a time: records as one tensor, and what is in them."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Self

import pyarrow as pa
import torch
from torch import Tensor

from mmoe.data.order import Position
from mmoe.data.rows import Layout, Rows
from mmoe.model.inputs import Inputs


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B rows ready for a network. Heads are in schema order."""

    layout: Layout
    words: Tensor
    """int32 (B, layout.width) records. Labels, teachers, groups and categories are views into them."""
    after: Position
    """Where the stream goes on after this batch."""
    bag_values: tuple[Tensor, ...] = ()
    bag_offsets: tuple[Tensor, ...] = ()
    spoken: tuple[tuple[int, ...] | None, ...] = ()
    """Of each teacher, the heads for which it has logits, if it has them on every row; None if it has them on some."""
    view_type_sizes: tuple[int, ...] | None = None
    """How many rows there are of each view type, where they stand view type by view type. With a teacher only."""
    identity: pa.Table | None = None
    """event_id and group_id of the rows, when streamed with `with_identity`."""

    @classmethod
    def of(cls, rows: Rows, after: Position) -> Self:
        return cls(
            layout=rows.layout,
            words=torch.from_numpy(rows.words),
            bag_values=tuple(torch.from_numpy(bags.values) for bags in rows.bags),
            bag_offsets=tuple(torch.from_numpy(bags.offsets) for bags in rows.bags),
            spoken=tuple(rows.spoken(teacher) for teacher in range(rows.layout.teachers)),
            view_type_sizes=rows.view_type_sizes if rows.layout.teachers else None,
            identity=rows.identity,
            after=after,
        )

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def inputs(self) -> Inputs:
        at = self.layout
        numeric_BN = self._floats[:, at.numeric_at : at.labels_at]
        missing_BN = numeric_BN.isnan()
        return Inputs(
            categorical_BF=self.words[:, at.categorical_at : at.view_type_at],
            numeric_BN=numeric_BN.masked_fill(missing_BN, 0.0),
            missing_BN=missing_BN.float(),
            bag_values=self.bag_values,
            bag_offsets=self.bag_offsets,
            view_type_B=self.words[:, at.view_type_at].long(),
        )

    @cached_property
    def labels_BH(self) -> Tensor:
        """0, 1, or NaN where the label is not final."""
        return self._floats[:, self.layout.labels_at : self.layout.teacher_at(0)]

    @cached_property
    def teachers_BH(self) -> tuple[Tensor, ...]:
        """Each teacher's logits, NaN where it has none."""
        bounds = [self.layout.teacher_at(teacher) for teacher in range(self.layout.teachers + 1)]
        return tuple(self._floats[:, first:last] for first, last in pairwise(bounds))

    @property
    def group_B(self) -> Tensor | None:
        """int64, equal for rows of one group, -1 where a row has none, when streamed with `with_groups`."""
        return self.words[:, :2].view(torch.int64)[:, 0] if self.layout.groups else None

    @property
    def _floats(self) -> Tensor:
        return self.words.view(torch.float32)

    def to(self, device: torch.device) -> Self:
        """The batch on another device. From pinned memory the copy does not wait for what the device computes."""
        return replace(
            self,
            words=self.words.to(device, non_blocking=True),
            bag_values=tuple(values.to(device, non_blocking=True) for values in self.bag_values),
            bag_offsets=tuple(offsets.to(device, non_blocking=True) for offsets in self.bag_offsets),
        )

    def pinned(self) -> Self:
        """The batch in page-locked memory, from which a GPU copies while it computes."""
        return replace(
            self,
            words=self.words.pin_memory(),
            bag_values=tuple(values.pin_memory() for values in self.bag_values),
            bag_offsets=tuple(offsets.pin_memory() for offsets in self.bag_offsets),
        )
