# ruff: noqa: N806  (shapes in names)
"""Hashed embedding tables and the feature vector that experts and gates read.

Shapes: B rows, F features in one table, W their common width, N numeric features, D width of the feature vector.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmoe.model.inputs import Inputs
from mmoe.model.linear import aligned
from mmoe.model.table_rows import look_up

INIT_STD = 0.01
CPU = torch.device("cpu")
BLOCK = 1 << 16
"""Rows that are drawn by one random generator: what a table starts with is the same whoever draws which part of it."""
CLIP = 8.0
"""Standard deviations that a numeric value is cut at, so that no single value can blow up a cross."""
ALIGNED_ROWS = 256
"""Rows from which the gain of aligned products is worth the copies of the weights that they take."""


class HashedTable(nn.Module):
    """The tables of several features of one width, stacked into one parameter; its gradients are sparse.

    A table of `apart_from` rows or more (0: none) is left on the meta device: `draw` gives its rows, a part at a time.
    """

    row_offsets: Tensor

    def __init__(self, features: Sequence[int], rows: Sequence[int], width: int, *, apart_from: int = 0) -> None:
        super().__init__()
        self.features = list(features)
        *starts, total = accumulate(rows, initial=0)
        self.register_buffer("row_offsets", torch.tensor(starts), persistent=False)
        self.total, self.seed = total, int(torch.randint(1 << 31, (), device=CPU))
        apart = 0 < apart_from <= total
        self.weight = nn.Parameter(torch.empty(total, width, device="meta" if apart else None))
        if not apart:
            self.draw(self.weight, first=0)

    @torch.no_grad()
    def draw(self, into: Tensor, *, first: int) -> None:
        """Fill `into` with what the rows from `first` on start with."""
        generator = torch.Generator()
        for block in range(first // BLOCK, -(-(first + len(into)) // BLOCK)):
            begin, end = block * BLOCK, min((block + 1) * BLOCK, self.total)
            low, high = max(begin, first), min(end, first + len(into))
            generator.manual_seed(self.seed + block)  # of which PyTorch takes 32 bits: sums, as they do not collide
            own = into[low - first : high - first]
            in_place = (low, high) == (begin, end) and own.is_cpu
            drawn = own if in_place else torch.empty(end - begin, into.shape[1], device=CPU)
            drawn.normal_(std=INIT_STD, generator=generator)
            if not in_place:
                own.copy_(drawn[low - begin : high - begin])


class Lookup(HashedTable):
    """One row for each feature. ids (B, all features) → (B, F·W)."""

    def forward(self, ids: Tensor) -> Tensor:
        return look_up(self.weight, self.rows(ids)).flatten(1)

    def rows(self, ids: Tensor) -> Tensor:
        """(B, F) of the table."""
        own = ids if len(self.features) == ids.shape[1] else ids[:, self.features]
        return own + self.row_offsets


class Pool(HashedTable):
    """The mean over each feature's values. Per feature values (nnz,) and offsets (B,) → (B, F·W)."""

    def forward(self, values: Sequence[Tensor], offsets: Sequence[Tensor]) -> Tensor:
        rows, starts = self.rows(values, offsets)
        pooled = F.embedding_bag(rows, self.weight, starts, mode="mean", sparse=True)
        return self.side_by_side(pooled)

    def rows(self, values: Sequence[Tensor], offsets: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(nnz,) of the table, feature after feature, and (F·B,) where each bag's start."""
        own = [values[feature] for feature in self.features]
        rows = torch.cat([ids + start for ids, start in zip(own, self.row_offsets, strict=True)])
        starts, total = [], 0
        for feature, ids in zip(self.features, own, strict=True):
            starts.append(offsets[feature] + total)
            total += len(ids)
        return rows, torch.cat(starts)

    def side_by_side(self, pooled: Tensor) -> Tensor:
        """(F·B, W) → (B, F·W)."""
        return torch.cat(pooled.chunk(len(self.features)), dim=1)


class Embeddings(nn.Module):
    """Inputs → (B, D): embeddings by width, pooled bags by width, numeric values, missing flags. From 256 rows on, a
    column of ones and columns of zeros follow up to `aligned(D)`: products read them fast, and biases with them.

    categorical and bags give (buckets, width) per feature; every table has one more row, for a missing value.
    The view type is one more categorical feature, of width `view_width`; with 0 there is none.
    """

    def __init__(
        self,
        categorical: Sequence[tuple[int, int]],
        bags: Sequence[tuple[int, int]],
        numeric: int,
        view_types: int,
        view_width: int,
        *,
        missing_flags: bool = True,
        numeric_scale: float = 1.0,
        apart_from: int = 0,
    ) -> None:
        super().__init__()
        self.view_type, self.missing_flags, self.numeric_scale = view_width > 0, missing_flags, numeric_scale
        looked_up = [(buckets + 1, width) for buckets, width in categorical]
        looked_up += [(view_types, view_width)] if self.view_type else []
        pooled = [(buckets + 1, width) for buckets, width in bags]
        table_groups, bag_groups = by_width(looked_up), by_width(pooled)
        self.tables = nn.ModuleList(Lookup(*group, apart_from=apart_from) for group in table_groups)
        self.bags = nn.ModuleList(Pool(*group, apart_from=apart_from) for group in bag_groups)
        embedded = sum(width for _, width in looked_up + pooled)
        self.width = embedded + (2 if missing_flags else 1) * numeric
        columns = layout(table_groups, 0)
        columns += [] if self.view_type else [[]]
        columns += layout(bag_groups, sum(map(len, columns)))
        columns += [list(range(embedded + index, self.width, numeric)) for index in range(numeric)]
        self.columns = columns
        """Which of the D columns hold a feature: by feature, in the order categorical, view type, bags, numeric."""

    def forward(self, inputs: Inputs, dtype: torch.dtype = torch.float32) -> Tensor:
        """Of this dtype; what is looked up or scaled is so in float32."""
        view_type = [inputs.view_type_B.unsqueeze(1)] if self.view_type else []
        ids = torch.cat([inputs.categorical_BF, *view_type], dim=1)
        looked_up = [table(ids) for table in self.tables]
        pooled = [bag(inputs.bag_values, inputs.bag_offsets) for bag in self.bags]
        scaled = inputs.numeric_BN.clamp(-CLIP, CLIP) * self.numeric_scale
        numeric = [scaled, *([inputs.missing_BN] if self.missing_flags else [])]
        padding = aligned(self.width) - self.width if len(ids) >= ALIGNED_ROWS else 0
        beyond = numeric[0].new_zeros(len(ids), padding)
        beyond[:, :1] = 1.0
        features_BD = torch.cat([part.to(dtype) for part in (*looked_up, *pooled, *numeric, beyond)], dim=1)
        assert features_BD.shape[1] == self.width + padding
        return features_BD


def layout(groups: Sequence[tuple[list[int], list[int], int]], start: int) -> list[list[int]]:
    """The columns of each feature where the groups' outputs stand side by side, from column `start` on."""
    columns: dict[int, list[int]] = {}
    for features, _, width in groups:
        for feature in features:
            columns[feature] = list(range(start, start + width))
            start += width
    return [columns[feature] for feature in sorted(columns)]


def by_width(sizes: Sequence[tuple[int, int]]) -> list[tuple[list[int], list[int], int]]:
    """(feature indices, their row counts, width) for each width, in order of first appearance."""
    widths = dict.fromkeys(width for _, width in sizes)
    groups = []
    for width in widths:
        features = [index for index, size in enumerate(sizes) if size[1] == width]
        groups.append((features, [sizes[feature][0] for feature in features], width))
    return groups
