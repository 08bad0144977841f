"""What stops a retention run that a wrong clock, date or policy would turn into a wipe."""

from collections.abc import Iterable
from datetime import date, timedelta

from mmoe.config import RetentionConfig
from mmoe.errors import ConfigError, LakeError
from mmoe.lake.holders import LAKE, LANDING, Copy
from mmoe.lake.partitions import ENGAGEMENT
from mmoe.schema import Schema

MOST_APART = 3
"""Days further apart than this do not belong to one log."""


def require_fit(config: RetentionConfig, schema: Schema) -> None:
    """Raises ConfigError for a view type or label that the schema lacks, or that expires before it is final."""
    for kind, named, known in (
        ("view_types", config.view_types, schema.view_type.names),
        ("labels", config.labels, schema.heads),
    ):
        for name, days in named.items():
            if name not in known:
                raise ConfigError(f"retention.{kind}.{name}: schema {schema.name!r} has only {', '.join(known)}.")
            if days <= schema.maturity_days:
                raise ConfigError(
                    f"retention.{kind}.{name}={days}: labels are final only after {schema.maturity_days} days; keep "
                    f"it for at least {schema.maturity_days + 1}."
                )


def refuse_future(as_of: date, today: date, copies: Iterable[Copy]) -> None:
    """Raises LakeError for a date more than a day past both the clock and the log's newest day."""
    newest = newest_day(copies) or today
    if as_of > max(newest, today) + timedelta(days=1):
        raise LakeError(
            f"as_of={as_of}: lies in the future of this machine's clock ({today}) and of the newest data ({newest}, by "
            f"days at most {MOST_APART} apart); correct the clock, or give another as-of date."
        )


def newest_day(copies: Iterable[Copy]) -> date | None:
    """The newest day of the log: of the run of days in lake and landing zone, none more than MOST_APART after the one
    before, that has the most published ones. A few misdated folders, or one misdated partition, are runs of their own.
    """
    published: dict[date, bool] = {}
    for copy in copies:
        if copy.day is not None and not copy.guessed and copy.holder in (LAKE, LANDING):
            published[copy.day] = published.get(copy.day, False) or (copy.holder, copy.kind) == (LAKE, ENGAGEMENT)
    runs: list[list[date]] = []
    for day in sorted(published):
        if runs and (day - runs[-1][-1]).days <= MOST_APART:
            runs[-1].append(day)
        else:
            runs.append([day])
    longest = max(runs, key=lambda run: (sum(published[day] for day in run), len(run)), default=None)
    return longest[-1] if longest else None


def refuse_large_share(share: float, max_share: float, what: str, as_of: date) -> None:
    """Raises LakeError naming the command that confirms the run, when `share` is more than `max_share`."""
    if share > max_share:
        raise LakeError(
            f"retention.max_share={max_share}: this run would delete {what}; check as_of and params.yaml. If it is "
            f"meant: mmoe retention apply --as-of {as_of} --yes"
        )
