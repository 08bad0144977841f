"""The score set: what a model says about the rows of a partition, and the only thing that teachers, gate and
calibration read of a model.

Parquet in long format, one row a (head, example): heads one after the other, and inside a head the partition's row
order. Columns: example_id string · group_id int64|string · slice columns string (view_type and those that the schema
declares) · head string · logit float32 · label int8 (null: not final) · weight float32. File metadata: mmoe.day,
mmoe.model_digest, mmoe.heads, mmoe.learned_days. docs/score-sets.md says what anyone may write by hand.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmoe.data.aside import exclusive, written_aside
from mmoe.data.score_set import ScoreSet, Slicing, flat, group_codes
from mmoe.errors import CorruptionError, EvaluationError
from mmoe.schema import SCORE_COLUMNS, VIEW_TYPE

Floats = npt.NDArray[np.floating[Any]]
ROW_GROUP = 1 << 18
FIXED = SCORE_COLUMNS - {VIEW_TYPE}


def write_scores(
    path: Path,
    *,
    day: date,
    model_digest: str,
    example_id: Any,
    group_id: Any,
    view_type: Any,
    logits: Mapping[str, Floats],
    labels: Mapping[str, Floats],
    slices: Mapping[str, Any] | None = None,
    learned_days: Collection[date] = (),
) -> None:
    """Write one day's score set, atomically. Columns are (N,) Arrow arrays or sequences; labels hold NaN for null.

    slices: further slice columns beside view_type. learned_days: what the model and its teachers learned from.

    Raises EvaluationError when a logit is not finite or the columns differ in length.
    """
    columns = {"example_id": flat(example_id), "group_id": flat(group_id), "view_type": flat(view_type)}
    columns |= {name: flat(values) for name, values in (slices or {}).items()}
    rows = len(columns["example_id"])
    _check(columns, logits, labels, rows)
    group_type = columns["group_id"].type
    schema = _arrow_schema(pa.int64() if pa.types.is_integer(group_type) else pa.string(), list(columns)[2:])
    metadata = {
        "mmoe.day": day.isoformat(),
        "mmoe.model_digest": model_digest,
        "mmoe.heads": json.dumps(list(logits)),
        "mmoe.learned_days": json.dumps([str(each) for each in sorted(set(learned_days))]),
    }
    with (
        exclusive(path),
        written_aside(path) as aside,
        pq.ParquetWriter(aside, schema.with_metadata(metadata), compression="zstd") as writer,
    ):
        for head in logits:
            table = _head_table(columns, head, logits[head], labels[head], schema)
            writer.write_table(table, row_group_size=ROW_GROUP)


def read_scores(paths: Sequence[Path]) -> ScoreSet:
    """Read one model's score sets of several days as one. Raises EvaluationError, or CorruptionError on damage."""
    if not paths:
        raise EvaluationError("scores: no score set given; give at least one path.")
    days = [read_day_scores(path) for path in paths]
    first = days[0]
    for path, scores in zip(paths, days, strict=True):
        if (scores.model_digest, scores.heads) != (first.model_digest, first.heads):
            raise EvaluationError(f"{path.name}: scores of another model or other heads; give those of one model.")
    for path, scores in zip(paths, days, strict=True):
        if scores.slices.keys() != first.slices.keys():
            raise EvaluationError(f"{path.name}: has other slice columns than {paths[0].name}; score the days again.")
    return ScoreSet(
        days=tuple(scores.day for scores in days),
        model_digest=first.model_digest,
        heads=first.heads,
        example_id=pa.concat_arrays([scores.example_id for scores in days]),
        group=group_codes(pa.chunked_array([scores.group_id for scores in days])),
        slices={name: Slicing.of(pa.chunked_array([each.slices[name] for each in days])) for name in first.slices},
        logits={head: np.concatenate([scores.logits[head] for scores in days]) for head in first.heads},
        labels={head: np.concatenate([scores.labels[head] for scores in days]) for head in first.heads},
        learned_days=all_learned([scores.learned_days for scores in days]),
    )


def learned_days(metadata: Mapping[str, str]) -> tuple[date, ...] | None:
    """The days that a file says its model and its teachers learned from; None where it does not say."""
    text = metadata.get("mmoe.learned_days")
    return None if text is None else tuple(date.fromisoformat(day) for day in json.loads(text))


def all_learned(of_files: Sequence[tuple[date, ...] | None]) -> tuple[date, ...] | None:
    """What all files say together; None if one does not say."""
    known = [days for days in of_files if days is not None]
    return tuple(sorted({day for days in known for day in days})) if len(known) == len(of_files) else None


@dataclass(frozen=True, kw_only=True)
class DayScores:
    """One score set file, as Arrow ids and numpy scores."""

    day: date
    model_digest: str
    heads: tuple[str, ...]
    example_id: pa.Array
    group_id: pa.Array
    slices: dict[str, pa.Array]
    learned_days: tuple[date, ...] | None
    logits: dict[str, npt.NDArray[np.float32]]
    labels: dict[str, npt.NDArray[np.float32]]


def read_day_scores(path: Path) -> DayScores:
    """Raises CorruptionError when the file is absent, damaged, or its heads do not cover the same examples."""
    try:
        table = pq.read_table(path)
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        heads: list[str] = json.loads(metadata["mmoe.heads"])
        day, digest = date.fromisoformat(metadata["mmoe.day"]), metadata["mmoe.model_digest"]
        learned = learned_days(metadata)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise CorruptionError(
            f"{path}: no readable score set ({type(error).__name__}); score the day again."
        ) from error
    rows = len(table) // max(1, len(heads))
    parts = {head: table.slice(position * rows, rows) for position, head in enumerate(heads)}
    ids = flat(table["example_id"])[:rows]
    for head, part in parts.items():
        if len(table) != rows * len(heads) or not _all_equal(part, head, ids):
            raise CorruptionError(f"{path}: rows of head {head!r} are not those of the other heads; score again.")
    return DayScores(
        day=day,
        model_digest=digest,
        heads=tuple(heads),
        example_id=ids,
        group_id=flat(table["group_id"])[:rows],
        slices={name: flat(table[name])[:rows] for name in table.column_names if name not in FIXED},
        learned_days=learned,
        logits={head: _floats(part["logit"]) for head, part in parts.items()},
        labels={head: _floats(part["label"]) for head, part in parts.items()},
    )


def _arrow_schema(group_type: pa.DataType, slices: Sequence[str]) -> pa.Schema:
    return pa.schema(
        {"example_id": pa.string(), "group_id": group_type}
        | dict.fromkeys(slices, pa.string())
        | {"head": pa.string(), "logit": pa.float32(), "label": pa.int8(), "weight": pa.float32()}
    )


def _check(columns: Mapping[str, pa.Array], logits: Mapping[str, Floats], labels: Mapping[str, Floats], n: int) -> None:
    if set(logits) != set(labels) or not logits:
        raise EvaluationError(f"scores: logits of {sorted(logits)} but labels of {sorted(labels)}; give both for each.")
    for name, length in [*((k, len(v)) for k, v in columns.items()), *((k, len(v)) for k, v in logits.items())]:
        if length != n:
            raise EvaluationError(f"scores: {name} has {length} rows, example_id {n}; give columns of one length.")
    for head, values in logits.items():
        broken = int(np.count_nonzero(~np.isfinite(values)))
        if broken:
            raise EvaluationError(f"scores: {broken} logits of head {head!r} are not finite; the model is unusable.")


def _head_table(
    columns: Mapping[str, pa.Array], head: str, logit: Floats, label: Floats, schema: pa.Schema
) -> pa.Table:
    rows = len(logit)
    label = np.asarray(label, dtype=np.float32)
    final = pa.array(np.nan_to_num(label).astype(np.int8), mask=np.isnan(label))
    weight = np.ones(rows, dtype=np.float32)
    scores = [pa.repeat(head, rows), pa.array(np.asarray(logit, dtype=np.float32)), final, pa.array(weight)]
    arrays = [*columns.values(), *scores]
    return pa.table([array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema)


def _all_equal(part: pa.Table, head: str, ids: pa.Array) -> bool:
    same = pc.all(pc.equal(flat(part["example_id"]), ids), min_count=0).as_py()
    return bool(same and pc.all(pc.equal(part["head"], head), min_count=0).as_py())


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = flat(column.cast(pa.float32())).to_numpy(zero_copy_only=False)
    return values
