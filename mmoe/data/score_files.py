"""Score sets that anyone wrote: Parquet files in long format with as little as example_id, logit and label.

docs/score-sets.md is the contract. What is not there gets a plain default; what is wrong is refused by column and
count.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmoe.data.score_set import Codes, ScoreSet, Slicing, group_codes
from mmoe.data.score_tables import (
    GROUP,
    parquet_files,
    plain,
    read_tables,
    refuse_absent,
    refuse_unreadable,
    wanted_columns,
)
from mmoe.data.scores import all_learned, learned_days
from mmoe.errors import EvaluationError, NoScoresError

ONLY_HEAD = "score"
MOST_SLICES = 1000
Values = npt.NDArray[np.float32]
SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1."""


def read_score_files(sources: Sequence[Path], *, cluster: str | None, slices: Sequence[str]) -> ScoreSet:
    """One model's scores from files and folders. Logits are read as float32, as models serve them.

    cluster: column whose rows may depend on each other; None: group_id where it is there, else every row stands alone.
    slices: columns to cut by; one that is not there is left out, for the gate to object to. Raises EvaluationError.
    """
    files = parquet_files(sources)
    table, metadata = read_tables(files, wanted_columns(cluster, slices))
    origin = str(sources[0])
    refuse_absent(table, files[0], cluster)
    refuse_unreadable(table, files[0], ("example_id", "head", cluster or GROUP, *slices))
    layout = lay_out(table, origin)
    grouping = cluster or (GROUP if GROUP in table.column_names else None)
    weighted = "weight" in table.column_names
    return ScoreSet(
        days=days_of(table, metadata, origin),
        model_digest=digest_of(table, metadata, files),
        heads=tuple(layout.rows),
        example_id=layout.example_id,
        group=np.arange(layout.size) if grouping is None else group_codes(layout.of_examples(table[grouping])),
        slices={name: sliced(table, name, layout, origin) for name in slices if name in table.column_names},
        logits=layout.by_head(logits_of(table, origin), 0.0),
        labels=layout.by_head(labels_of(table, origin), np.nan),
        weights=layout.by_head(weights_of(table, origin), 1.0) if weighted else {},
        learned_days=all_learned([learned_days(each) for each in metadata]),
    )


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which rows of the table are of which head and example."""

    example_id: pa.Array
    """(N,) distinct."""
    rows: dict[str, Codes]
    """head -> its rows in the table."""
    places: dict[str, Codes]
    """head -> the example of each of those rows."""

    @property
    def size(self) -> int:
        return len(self.example_id)

    def of_examples(self, column: pa.ChunkedArray) -> pa.Array:
        """(N,) a column's value at the first row of each example."""
        first = np.zeros(self.size, dtype=np.int64)
        for head in reversed(self.rows):
            first[self.places[head]] = self.rows[head]
        return plain(column).take(pa.array(first))

    def by_head(self, values: Values, absent: float) -> dict[str, Values]:
        """head -> (N,) values; an example that a head has no row of gets `absent`."""
        found = {}
        for head, rows in self.rows.items():
            found[head] = np.full(self.size, absent, dtype=np.float32)
            found[head][self.places[head]] = values[rows]
        return found


def lay_out(table: pa.Table, origin: str) -> Layout:
    ids = plain(table["example_id"])
    names = plain(table["head"]).cast(pa.string()) if "head" in table.column_names else pa.repeat(ONLY_HEAD, len(table))
    for column, values in (("example_id", ids), ("head", names)):
        if values.null_count:
            raise EvaluationError(f"{origin}: {column}: {values.null_count} nulls; give each row its {column}.")
    encoded = names.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    rows = {name: np.flatnonzero(codes == code) for code, name in enumerate(encoded.dictionary.to_pylist())}
    if not rows:
        raise NoScoresError(f"{origin}: no rows; give a score set with rows.")
    of_heads = {name: ids.take(pa.array(mine)) for name, mine in rows.items()}
    for name, each in of_heads.items():
        repeats = len(each) - pc.count_distinct(each).as_py()
        if repeats:
            raise EvaluationError(f"{origin}: head {name!r}: {repeats} repeated example_id; keep one row of each.")
    distinct = next(iter(of_heads.values()))
    if all(each.equals(distinct) for each in of_heads.values()):
        places = dict.fromkeys(rows, np.arange(len(distinct)))
    else:
        distinct = pc.unique(ids)
        places = {
            name: pc.index_in(each, value_set=distinct).to_numpy(zero_copy_only=False).astype(np.int64)
            for name, each in of_heads.items()
        }
    return Layout(example_id=distinct, rows=rows, places=places)


def logits_of(table: pa.Table, origin: str) -> Values:
    name = "logit" if "logit" in table.column_names else "probability"
    found = numbers(table, name, origin)
    with np.errstate(over="ignore"):
        served = found.astype(np.float32)
    broken = int(np.count_nonzero(~np.isfinite(served)))
    if broken:
        raise EvaluationError(
            f"{origin}: {name}: {broken} values are null or not finite as float32; the model is unusable."
        )
    if name == "logit":
        return served
    outside = int(np.count_nonzero((found < 0) | (found > 1)))
    if outside:
        raise EvaluationError(f"{origin}: probability: {outside} values outside 0 to 1; name the column `logit`?")
    kept = np.clip(found, SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(kept) - np.log1p(-kept), dtype=np.float32)


def labels_of(table: pa.Table, origin: str) -> Values:
    found = numbers(table, "label", origin)
    broken = int(np.count_nonzero(~((found == 0) | (found == 1) | np.isnan(found))))
    if broken:
        raise EvaluationError(f"{origin}: label: {broken} values are neither 0, 1 nor null (not final).")
    return found.astype(np.float32)


def weights_of(table: pa.Table, origin: str) -> Values:
    found = numbers(table, "weight", origin)
    broken = int(np.count_nonzero(~(np.isfinite(found) & (found > 0))))
    if broken:
        raise EvaluationError(f"{origin}: weight: {broken} values are not positive numbers; leave such rows out.")
    return found.astype(np.float32)


def numbers(table: pa.Table, name: str, origin: str) -> npt.NDArray[np.float64]:
    """A column as float64, null as NaN."""
    column = plain(table[name])
    try:
        values: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise EvaluationError(f"{origin}: {name} is of type {column.type}; give numbers.") from error
    return values


def sliced(table: pa.Table, name: str, layout: Layout, origin: str) -> Slicing:
    column = layout.of_examples(table[name])
    found = pc.count_distinct(column, mode="all").as_py()
    if found > MOST_SLICES:
        raise EvaluationError(
            f"{origin}: slice column {name!r} has {found:,} values, more than {MOST_SLICES}; bucket it first."
        )
    return Slicing.of(column)


def days_of(table: pa.Table, metadata: Sequence[dict[str, str]], origin: str) -> tuple[date, ...]:
    """The held-out days that files or a column `day` tell; none where neither does."""
    found = {each["mmoe.day"] for each in metadata if "mmoe.day" in each}
    if "day" in table.column_names:
        found |= {str(day)[:10] for day in pc.unique(table["day"]).to_pylist() if day is not None}
    try:
        return tuple(sorted(date.fromisoformat(day) for day in found))
    except ValueError as error:
        raise EvaluationError(f"{origin}: day: not every value is a date; write YYYY-MM-DD.") from error


def digest_of(table: pa.Table, metadata: Sequence[dict[str, str]], files: Sequence[Path]) -> str:
    """What the model says it is, or else the sha256 of the files."""
    found = {each["mmoe.model_digest"] for each in metadata if "mmoe.model_digest" in each}
    if "model_digest" in table.column_names:
        found |= {str(digest) for digest in pc.unique(table["model_digest"]).to_pylist()}
    if len(found) > 1:
        raise EvaluationError(f"{files[0]} and others: scores of {len(found)} models; give those of one model a side.")
    if found:
        return found.pop()
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()
