"""Two score sets brought to the same rows, in the same order."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmoe.data.score_set import Codes, ScoreSet
from mmoe.errors import EvaluationError


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Champion and challenger on the rows that both scored, paired by example_id."""

    champion: ScoreSet
    challenger: ScoreSet
    only_champion: int = 0
    """Rows of the champion's score set without a counterpart."""
    only_challenger: int = 0
    lost: tuple[tuple[str, str], ...] = ()
    """(slice column, slice) that a score set has rows of, but the pairs do not."""


def pair_scores(champion: ScoreSet, challenger: ScoreSet) -> Pair:
    """Pair the rows. Raises EvaluationError where none pairs, or where their labels or slices differ."""
    before, after = champion.example_id, challenger.example_id
    if before.type != after.type:
        before, after = before.cast(pa.string()), after.cast(pa.string())
    if before.equals(after):
        pair = Pair(champion=champion, challenger=challenger)
    else:
        places: Codes = pc.fill_null(pc.index_in(before, value_set=after), -1).to_numpy(zero_copy_only=False)
        kept = np.flatnonzero(places >= 0)
        pair = Pair(
            champion=champion.take(kept),
            challenger=challenger.take(places[kept].astype(np.int64)),
            only_champion=champion.rows - len(kept),
            only_challenger=challenger.rows - len(kept),
        )
    if not pair.champion.rows:
        raise EvaluationError(
            f"the score sets hold different rows (champion {champion.rows}, challenger {challenger.rows}, none in "
            "both by example_id); score both models on the same partitions."
        )
    refuse_other_labels(pair)
    refuse_other_slices(pair)
    return replace(pair, lost=lost_slices(champion, challenger, pair.champion))


def refuse_other_labels(pair: Pair) -> None:
    for head in set(pair.champion.heads) & set(pair.challenger.heads):
        before, after = pair.champion.labels[head], pair.challenger.labels[head]
        if not np.array_equal(before, after, equal_nan=True):
            raise EvaluationError(f"head {head!r}: the score sets hold different labels; score both models again.")


def refuse_other_slices(pair: Pair) -> None:
    for name in pair.champion.slices.keys() & pair.challenger.slices.keys():
        before, after = pair.champion.slices[name], pair.challenger.slices[name]
        theirs = {value: code for code, value in enumerate(after.names)}
        codes = np.array([theirs.get(value, -1) for value in before.names])
        if not np.array_equal(codes[before.codes], after.codes):
            raise EvaluationError(f"slice column {name!r}: the score sets hold different values; score both again.")


def lost_slices(champion: ScoreSet, challenger: ScoreSet, paired: ScoreSet) -> tuple[tuple[str, str], ...]:
    found = []
    for name, slicing in paired.slices.items():
        counts = np.bincount(slicing.codes, minlength=len(slicing.names))
        held = {value for value, count in zip(slicing.names, counts, strict=True) if count}
        sides = (side.slices[name] for side in (champion, challenger) if name in side.slices)
        known = {value for side in sides for value in side.names}
        found += [(name, value) for value in sorted(known - held)]
    return tuple(found)
