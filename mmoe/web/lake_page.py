"""What the data page shows: every day the lake knows of, and what became of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from mmoe.errors import CorruptionError, PartitionExpiredError, PartitionMissingError
from mmoe.lake import ledger
from mmoe.lake.horizon import read_horizon
from mmoe.lake.ledger import Expired
from mmoe.lake.manifest import Manifest
from mmoe.lake.offers import Offer, open_offers
from mmoe.lake.partitions import ENGAGEMENT
from mmoe.lake.quarantine import QuarantineRecord, list_quarantined
from mmoe.lake.reader import published_days, read_manifest, stored_days
from mmoe.lake.store import Store, open_store
from mmoe.settings import Settings

Status = Literal["published", "quarantined", "expired", "held", "missing", "damaged"]
"""held: behind a horizon and not readable, but stored: by a legal hold, or until the next retention run."""


@dataclass(frozen=True, kw_only=True)
class Day:
    day: date
    status: Status
    manifest: Manifest | None = None
    quarantined: tuple[QuarantineRecord, ...] = ()
    expired: Expired | None = None
    problem: str = ""

    @property
    def rows(self) -> int:
        if self.manifest is not None:
            return self.manifest.rows
        return (self.expired.rows or 0) if self.expired is not None else 0


@dataclass(frozen=True, kw_only=True)
class LakePage:
    days: tuple[Day, ...]
    """Newest first, without gaps."""
    horizon: date | None
    ledger_entries: int
    ledger_problems: tuple[str, ...]
    offers: tuple[Offer, ...]
    """Backfilled days that wait for a person to train on them."""

    def with_status(self, status: Status) -> list[Day]:
        return [day for day in self.days if day.status == status]

    @property
    def rows(self) -> int:
        return sum(day.rows for day in self.with_status("published"))

    @property
    def bytes(self) -> int:
        return sum(day.manifest.bytes for day in self.days if day.manifest)

    @property
    def most_rows(self) -> int:
        return max((day.rows for day in self.days), default=0) or 1

    @property
    def heads(self) -> list[str]:
        newest = next((day.manifest for day in self.days if day.manifest), None)
        return list(newest.labels) if newest else []


def read_lake(settings: Settings) -> LakePage:
    """Everything from the lake's own records: manifests, quarantine, holds, ledger."""
    store = open_store(settings.lake_url, settings.cache_path)
    chain, problems = read_ledger(store)
    published = set(published_days(store))
    stated = [item for entry in chain for item in entry.statement.items if item.kind == ENGAGEMENT]
    expired = {item.day: item for item in stated if not item.part}
    quarantined: dict[date, list[QuarantineRecord]] = {}
    for record in list_quarantined(store):
        quarantined.setdefault(record.day, []).append(record)
    held = {*stored_days(store)} - published

    def read_day(day: date) -> Day:
        broken = tuple(quarantined.get(day, ()))
        if day in published:
            return read_published(store, day, broken)
        if day in expired:
            return Day(day=day, status="expired", expired=expired[day])
        status: Status = "held" if day in held else "quarantined" if broken else "missing"
        return Day(day=day, status=status, quarantined=broken)

    return LakePage(
        days=tuple(read_day(day) for day in reversed(every_day({*published, *quarantined, *expired, *held}))),
        horizon=read_horizon(store),
        ledger_entries=len(chain),
        ledger_problems=tuple(problems),
        offers=tuple(open_offers(store)),
    )


def read_published(store: Store, day: date, quarantined: tuple[QuarantineRecord, ...]) -> Day:
    try:
        return Day(day=day, status="published", manifest=read_manifest(store, day), quarantined=quarantined)
    except CorruptionError as error:
        return Day(day=day, status="damaged", problem=str(error))
    except (PartitionMissingError, PartitionExpiredError):  # retention ran since the listing
        return Day(day=day, status="expired")


def read_ledger(store: Store) -> tuple[list[ledger.Entry], list[str]]:
    try:
        chain = ledger.entries(store)
    except CorruptionError as error:
        return [], [str(error)]
    return chain, ledger.verify(chain)


def every_day(days: Iterable[date]) -> list[date]:
    """From the first to the last day, those in between included."""
    known = sorted(days)
    if not known:
        return []
    return [known[0] + timedelta(days=number) for number in range((known[-1] - known[0]).days + 1)]
