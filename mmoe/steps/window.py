"""Choose the days of a run, from the as-of date and the manifests alone, never from the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from mmoe.errors import PartitionMissingError


@dataclass(frozen=True, kw_only=True)
class Window:
    """Days of a batch run, oldest first; the three parts follow one another."""

    train: tuple[date, ...]
    catch_up: tuple[date, ...]
    holdout: tuple[date, ...]

    @property
    def missing(self) -> tuple[date, ...]:
        """Days inside the window that are not published."""
        days = {*self.train, *self.catch_up, *self.holdout}
        span = (max(days) - min(days)).days
        return tuple(day for day in (min(days) + timedelta(days=n) for n in range(span)) if day not in days)


def choose_window(
    published: Sequence[date], as_of: date, *, maturity_days: int, train: int, catch_up: int, holdout: int
) -> Window:
    """The newest published days whose labels were all final at the start of `as_of`.

    Up to `train` training days are taken; the others are needed in full. Raises PartitionMissingError.
    """
    newest = as_of - timedelta(days=1 + maturity_days)
    mature = sorted(day for day in published if day <= newest)
    needed = catch_up + holdout + 1
    if len(mature) < needed:
        raise PartitionMissingError(
            f"as_of={as_of}: {len(mature)} published days have final labels, but {needed} are needed "
            f"(at least 1 to train, {catch_up} to catch up, {holdout} held out). Ingest more days or shrink the window."
        )
    first_holdout = len(mature) - holdout
    first_catch_up = first_holdout - catch_up
    return Window(
        train=tuple(mature[max(0, first_catch_up - train) : first_catch_up]),
        catch_up=tuple(mature[first_catch_up:first_holdout]),
        holdout=tuple(mature[first_holdout:]),
    )


def days_between(published: Sequence[date], first: date, last: date) -> tuple[date, ...]:
    """Published days in [first, last]. Raises PartitionMissingError if there is none."""
    chosen = tuple(sorted(day for day in published if first <= day <= last))
    if not chosen:
        span = f"{min(published)} to {max(published)}" if published else "none"
        raise PartitionMissingError(f"first={first}, last={last}: no published day between them (published: {span}).")
    return chosen
