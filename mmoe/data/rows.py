"""A block of encoded rows as numpy arrays: what Parquet becomes before it is shuffled and cut into batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Bags:
    """One multi-valued feature of N rows: row i holds values[ends[i] - counts[i] : ends[i]]."""

    values: Ints
    counts: Ints

    def take(self, rows: Ints) -> "Bags":
        counts = self.counts[rows]
        starts = (np.cumsum(self.counts) - self.counts)[rows]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return Bags(values=self.values[np.repeat(starts, counts) + within], counts=counts)

    @property
    def offsets(self) -> Ints:
        """(N,) where each row's values start."""
        return np.cumsum(self.counts) - self.counts


@dataclass(frozen=True, kw_only=True)
class Rows:
    """N encoded rows. Feature and head order are the schema's."""

    categorical: Ints
    """(N, C) embedding rows."""
    numeric: Floats
    """(N, M) standardised, 0 where missing."""
    missing: Floats
    """(N, M) 1 where missing."""
    bags: tuple[Bags, ...]
    view_type: Ints
    """(N,) index into schema.view_type.names."""
    labels: Floats
    """(N, H), NaN where not final."""
    teachers: tuple[Floats, ...]
    """(N, H) logits of each teacher, NaN where it has none."""
    group: Ints | None = None
    """(N,) non-negative codes of group_id, -1 where it is null, when asked for."""
    identity: pa.Table | None = None
    """(N) event_id and group_id, when asked for."""

    def __len__(self) -> int:
        return len(self.view_type)

    def take(self, rows: Ints) -> "Rows":
        """The rows at these positions, in this order."""
        return Rows(
            categorical=self.categorical[rows],
            numeric=self.numeric[rows],
            missing=self.missing[rows],
            bags=tuple(bags.take(rows) for bags in self.bags),
            view_type=self.view_type[rows],
            labels=self.labels[rows],
            teachers=tuple(logits[rows] for logits in self.teachers),
            group=None if self.group is None else self.group[rows],
            identity=None if self.identity is None else self.identity.take(rows),
        )


def concatenate(blocks: Sequence[Rows]) -> Rows:
    """The rows of all blocks, in order; the blocks must be encoded alike."""
    if len(blocks) == 1:
        return blocks[0]
    groups = [block.group for block in blocks if block.group is not None]
    identities = [block.identity for block in blocks]
    return Rows(
        categorical=np.concatenate([block.categorical for block in blocks]),
        numeric=np.concatenate([block.numeric for block in blocks]),
        missing=np.concatenate([block.missing for block in blocks]),
        bags=tuple(
            Bags(
                values=np.concatenate([bag.values for bag in same]), counts=np.concatenate([bag.counts for bag in same])
            )
            for same in zip(*(block.bags for block in blocks), strict=True)
        ),
        view_type=np.concatenate([block.view_type for block in blocks]),
        labels=np.concatenate([block.labels for block in blocks]),
        teachers=tuple(np.concatenate(same) for same in zip(*(block.teachers for block in blocks), strict=True)),
        group=np.concatenate(groups) if groups else None,
        identity=None if None in identities else pa.concat_tables(identities),
    )
