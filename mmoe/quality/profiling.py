"""Rows to the day's profile, a block at a time."""

from collections import Counter, defaultdict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmoe.data.hashing import hash_words
from mmoe.lake.manifest import LabelCount
from mmoe.lake.profile import Histogram, SliceProfile
from mmoe.schema import VIEW_TYPE, Schema

HASH_BINS = 256
STEPS_AN_OCTAVE = 3
"""Bits: a numeric bin is an eighth of a power of two."""
Bins = npt.NDArray[np.int64]


class Profiler:
    """Counts rows, labels and binned values by view type. Rows of undeclared view types count for none."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._rows: Counter[str] = Counter()
        self._labels: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._bins: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        self._missing: Counter[tuple[str, str]] = Counter()

    def add(self, table: pa.Table) -> None:
        """Rows in a partition's columns."""
        for view_type in self._schema.view_type.names:
            part = table.filter(pc.equal(table[VIEW_TYPE], view_type)).combine_chunks()
            if part.num_rows:
                self._add(view_type, part)

    def finish(self) -> dict[str, SliceProfile]:
        features = self._schema.features
        names = (*features.categorical, *features.numeric, *features.multivalued)
        return {
            view_type: SliceProfile(
                rows=rows,
                labels={head: LabelCount(**self._labels[view_type, head]) for head in self._schema.heads},
                features={name: self._histogram(view_type, name) for name in names},
            )
            for view_type, rows in sorted(self._rows.items())
        }

    def _add(self, view_type: str, part: pa.Table) -> None:
        features = self._schema.features
        self._rows[view_type] += part.num_rows
        for head in self._schema.heads:
            positives = pc.sum(pc.equal(part[head], 1)).as_py() or 0
            nulls = part[head].null_count
            self._labels[view_type, head].update(
                positives=positives, negatives=part.num_rows - nulls - positives, nulls=nulls
            )
        for name in (*features.categorical, *features.multivalued):
            values = pc.list_flatten(part[name]) if name in features.multivalued else part[name]
            self._count(view_type, name, hash_bins(values.drop_null().combine_chunks(), name), part[name].null_count)
        for name in features.numeric:
            self._count(view_type, name, scale_bins(part[name].drop_null().to_numpy()), part[name].null_count)

    def _count(self, view_type: str, name: str, bins: Bins, missing: int) -> None:
        found, counts = np.unique(bins, return_counts=True)
        self._bins[view_type, name].update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        self._missing[view_type, name] += missing

    def _histogram(self, view_type: str, name: str) -> Histogram:
        counts = self._bins[view_type, name]
        bins = sorted(counts)
        return Histogram(
            bins=tuple(bins),
            counts=tuple(counts[number] for number in bins),
            missing=self._missing[view_type, name],
        )


def hash_bins(values: pa.Array, name: str) -> Bins:
    """(N,) values of a categorical feature -> (N,) bins that do not tell them."""
    return (hash_words(values, f"profile of {name}") % np.uint64(HASH_BINS)).astype(np.int64)


def scale_bins(values: npt.NDArray[np.float32]) -> Bins:
    """(N,) finite numbers -> (N,) bins in the numbers' order: sign, power of two, and eighth of it."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.int32).astype(np.int64)
    size = (bits & 0x7FFFFFFF) >> (23 - STEPS_AN_OCTAVE)
    return np.where(bits < 0, -size, size)
