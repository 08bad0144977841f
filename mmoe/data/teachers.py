"""Teachers of a batch training: score sets joined to partitions by position, and checked by example id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmoe.data.rows import Floats
from mmoe.data.scores import DayScores, read_day_scores
from mmoe.errors import CorruptionError, TrainingError


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A model that batch training distils from, through the score sets it left for each training day."""

    digest: str
    """model_digest of the score sets."""
    scores: Mapping[date, Path]
    weight: float = 1.0
    """Factor on this teacher's distillation loss beside those of other teachers."""
    head_map: Mapping[str, str] = field(default_factory=dict)
    """Student head -> teacher head, where the names differ."""


class DayTeacher:
    """One teacher's logits of one day, handed out in row order."""

    def __init__(self, teacher: Teacher, day: date, heads: tuple[str, ...]) -> None:
        """Raises TrainingError when the day has no score set, CorruptionError when it is another model's."""
        if day not in teacher.scores:
            raise TrainingError(f"teacher {teacher.digest[:12]}: no score set for {day}; score the day first.")
        path = teacher.scores[day]
        scores = read_day_scores(path)
        if (scores.model_digest, scores.day) != (teacher.digest, day):
            found = f"{scores.model_digest[:12]} on {scores.day}"
            raise CorruptionError(f"{path}: scores of {found}, not of {teacher.digest[:12]} on {day}; score again.")
        self._path, self._scores = path, scores
        self._logits = _in_head_order(scores, teacher, heads)

    def logits(self, first: int, example_id: pa.ChunkedArray) -> Floats:
        """(N, H) for the N rows from position `first` on, NaN for a head without teacher. Raises CorruptionError."""
        rows = len(example_id)
        if not example_id.combine_chunks().equals(self._scores.example_id.slice(first, rows)):
            raise CorruptionError(f"{self._path}: its examples are not the partition's; score the day again.")
        return self._logits[first : first + rows]


def _in_head_order(scores: DayScores, teacher: Teacher, heads: tuple[str, ...]) -> Floats:
    unknown = sorted({*teacher.head_map} - {*heads} | {*teacher.head_map.values()} - {*scores.heads})
    if unknown:
        raise TrainingError(f"teacher {teacher.digest[:12]}: head_map names {unknown[0]!r}, which no model has.")
    nothing = np.full(len(scores.example_id), np.nan, dtype=np.float32)
    return np.stack([scores.logits.get(teacher.head_map.get(head, head), nothing) for head in heads], axis=1)
