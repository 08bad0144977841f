"""Scores of one model on N examples, in memory: what the gate, calibration and drift work on."""

from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmoe.data import arrays

Codes = npt.NDArray[np.int64]
MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Slicing:
    """N rows cut by one column into S slices."""

    names: tuple[str, ...]
    """(S,) sorted."""
    codes: npt.NDArray[np.integer[Any]]
    """(N,) indices into names."""

    @classmethod
    def of(cls, column: Any) -> Self:
        """Slices by the text of each value, integers in their order; null values are a slice named `missing`."""
        encoded = pc.fill_null(flat(column).cast(pa.string()), MISSING).dictionary_encode()
        found: list[str] = encoded.dictionary.to_pylist()
        names = sorted(found, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
        places = np.array([names.index(name) for name in found], dtype=np.min_scalar_type(max(1, len(names))))
        return cls(names=tuple(names), codes=places[encoded.indices.to_numpy(zero_copy_only=False)])

    @classmethod
    def whole(cls, rows: int) -> Self:
        """One slice of all rows."""
        return cls(names=("all",), codes=np.zeros(rows, dtype=np.uint8))

    @cached_property
    def positions(self) -> list[Codes]:
        """The rows of each slice, in order."""
        order = np.argsort(self.codes, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.codes, minlength=len(self.names)))[:-1])

    def take(self, rows: Codes) -> Self:
        """The rows at these positions; names without rows stay."""
        return replace(self, codes=self.codes[rows])


@dataclass(frozen=True, kw_only=True)
class ScoreSet:
    """Scores of one model on one or more days, N examples in day and row order."""

    days: tuple[date, ...]
    model_digest: str
    heads: tuple[str, ...]
    example_id: pa.Array
    """(N,) what pairs the rows of two models."""
    group: Codes
    """(N,) codes of group_id from 0 on, by first appearance; a row without a group has a code of its own."""
    slices: dict[str, Slicing]
    """Slice column, such as view_type -> how it cuts the rows."""
    logits: dict[str, npt.NDArray[np.float32]]
    """head -> (N,)."""
    labels: dict[str, npt.NDArray[np.float32]]
    """head -> (N,): 0, 1, or NaN where the label is not final."""
    weights: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """head -> (N,) positive weights; a head that is absent weighs each row 1."""
    learned_days: tuple[date, ...] | None = None
    """Days that the model or its teachers learned from; None where the score set does not say."""

    @property
    def rows(self) -> int:
        return len(self.example_id)

    def take(self, rows: Codes) -> Self:
        """The rows at these positions, in this order."""
        return replace(
            self,
            example_id=self.example_id.take(pa.array(rows)),
            group=self.group[rows],
            slices={name: slicing.take(rows) for name, slicing in self.slices.items()},
            logits={head: values[rows] for head, values in self.logits.items()},
            labels={head: values[rows] for head, values in self.labels.items()},
            weights={head: values[rows] for head, values in self.weights.items()},
        )

    def final(self, head: str) -> Codes:
        """(n,) positions of the rows whose label is final."""
        return np.flatnonzero(~np.isnan(self.labels[head]))


def group_codes(column: Any) -> Codes:
    """(N,) codes from 0 on; each null gets one of its own: such rows depend on no other."""
    encoded = flat(column).dictionary_encode()
    codes: Codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    alone = np.flatnonzero(codes < 0)
    codes[alone] = len(encoded.dictionary) + np.arange(len(alone))
    return codes


def flat(values: Any) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        return arrays.flat(values)
    return values if isinstance(values, pa.Array) else pa.array(values)
