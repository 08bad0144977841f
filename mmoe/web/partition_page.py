"""What a day's page shows: everything that was asked of its rows, beside the days before; counts, never a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from mmoe.errors import CorruptionError, PartitionExpiredError
from mmoe.lake.examination import Check, Examination, read_examination
from mmoe.lake.horizon import read_horizon
from mmoe.lake.ledger import Expired
from mmoe.lake.manifest import Manifest, Release, Validation
from mmoe.lake.partitions import ENGAGEMENT
from mmoe.lake.quarantine import QuarantineRecord, list_quarantined, list_releases
from mmoe.lake.reader import find_manifest, trailing_manifests
from mmoe.lake.store import Store, open_store
from mmoe.registry.records import VersionRecord, VersionRecords
from mmoe.report.data import ReportSummary
from mmoe.settings import Settings
from mmoe.web.lake_page import read_ledger
from mmoe.web.reports import list_reports

PSI = "column_psi_to_be_between"


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One examination, and the verdict that came of it."""

    title: str
    validation: Validation
    examination: Examination | None
    """None where its record is gone."""

    @property
    def checks(self) -> list[Check]:
        """All but drift, the failed ones first, the gravest of them first."""
        checks = [check for check in self.examination.checks if check.expectation != PSI] if self.examination else []
        graveness = ("critical", "warning", "info")
        outcomes = ("failed", "held", "not judged")
        return sorted(checks, key=lambda check: (outcomes.index(check.outcome), graveness.index(check.severity)))

    @property
    def view_types(self) -> list[str | None]:
        """Of the drift table: all rows, then each view type."""
        found = {check.view_type: None for check in self._drift()}
        return list(found)

    @property
    def drift(self) -> dict[str, dict[str | None, Check]]:
        """PSI of each feature by view type; the gravest check that failed, or the one that holds."""
        table: dict[str, dict[str | None, Check]] = {}
        for check in sorted(self._drift(), key=lambda each: each.outcome != "failed", reverse=True):
            table.setdefault(check.column or "", {})[check.view_type] = check
        return {name: table[name] for name in dict.fromkeys(check.column or "" for check in self._drift())}

    def _drift(self) -> list[Check]:
        """Warnings before critical ones, so that a critical failure is what stays in the table."""
        checks = [check for check in self.examination.checks if check.expectation == PSI] if self.examination else []
        return sorted(checks, key=lambda check: check.severity != "warning")


@dataclass(frozen=True, kw_only=True)
class Trail:
    """A count or a share of the day, and of the days before it."""

    name: str
    days: tuple[tuple[date, float | None], ...]
    """Oldest first; the last one is this day."""
    is_share: bool

    @property
    def value(self) -> float | None:
        return self.days[-1][1]


@dataclass(frozen=True, kw_only=True)
class PartitionPage:
    day: date
    manifest: Manifest | None
    damage: str
    examined: tuple[Examined, ...]
    """What is in quarantine first, then what is published, then its verification."""
    trails: tuple[Trail, ...]
    quarantined: tuple[QuarantineRecord, ...]
    """Oldest first, settled ones included."""
    releases: tuple[Release, ...]
    horizon: date | None
    expired: Expired | None
    versions: tuple[VersionRecord, ...]
    """Model versions whose data window the day lies in."""
    reports: tuple[ReportSummary, ...]
    """Promotion reports that held it out."""

    @property
    def open_record(self) -> QuarantineRecord | None:
        return next((record for record in self.quarantined if record.closed_by is None), None)

    @property
    def status(self) -> str:
        if self.damage:
            return "damaged"
        if self.manifest is not None:
            return self.manifest.validation.status if self.manifest.validation.status != "passed" else "published"
        return "quarantined" if self.open_record else "expired" if self.expired else "missing"


def read_partition(settings: Settings, day: date) -> PartitionPage | None:
    """The day from the lake's own records; None for a day that it knows nothing of."""
    store = open_store(settings.lake_url)
    manifest, damage = _manifest(store, day)
    horizon = read_horizon(store)
    chain, _ = read_ledger(store)
    items = [item for entry in chain for item in entry.statement.items if (item.kind, item.day) == (ENGAGEMENT, day)]
    records = tuple(list_quarantined(store, day=day, closed=True)) if not _is_expired(day, horizon) else ()
    if manifest is None and not damage and not records and not items:
        return None
    return PartitionPage(
        day=day,
        manifest=manifest,
        damage=damage,
        examined=tuple(_examined(store, day, manifest, records)),
        trails=tuple(_trails([*trailing_manifests(store, day), manifest])) if manifest else (),
        quarantined=records,
        releases=tuple(list_releases(store, day)) if records else (),
        horizon=horizon,
        expired=items[-1] if items else None,
        versions=tuple(_learned(settings, day)),
        reports=tuple(_judged_on(settings, day)),
    )


def _manifest(store: Store, day: date) -> tuple[Manifest | None, str]:
    try:
        return find_manifest(store, day), ""
    except PartitionExpiredError:
        return None, ""
    except CorruptionError as error:
        return None, str(error)


def _is_expired(day: date, horizon: date | None) -> bool:
    return horizon is not None and day < horizon


def _examined(
    store: Store, day: date, manifest: Manifest | None, records: Sequence[QuarantineRecord]
) -> list[Examined]:
    found = [
        Examined(
            title="In quarantine",
            validation=record.validation,
            examination=read_examination(store, day, record.validation.subject),
        )
        for record in records
        if record.closed_by is None
    ]
    if manifest is None:
        return found
    staged = read_examination(store, day, manifest.validation.subject)
    found.append(
        Examined(title="Published rows, before publication", validation=manifest.validation, examination=staged)
    )
    verified = read_examination(store, day, manifest.digest)
    if verified is not None:
        title = "The partition, read again as published"
        found.append(Examined(title=title, validation=verified.validation(), examination=verified))
    return found


def _trails(manifests: Sequence[Manifest]) -> list[Trail]:
    newest = manifests[-1]

    def trail(name: str, of: Callable[[Manifest], float | None], *, is_share: bool = False) -> Trail:
        return Trail(name=name, days=tuple((each.day, of(each)) for each in manifests), is_share=is_share)

    def share_of_rows(view_type: str) -> Callable[[Manifest], float | None]:
        return lambda each: each.view_type_rows.get(view_type, 0) / each.rows if each.rows else None

    def missing(name: str) -> Callable[[Manifest], float | None]:
        return lambda each: each.nulls.get(name, 0) / each.rows if each.rows else None

    def counted(name: str) -> Callable[[Manifest], float | None]:
        return lambda each: each.counts.get(name)

    def rate(head: str) -> Callable[[Manifest], float | None]:
        return lambda each: each.label_rates.get(head)

    counts = [name for name in newest.counts if any(each.counts.get(name) for each in manifests)]
    return [
        trail("rows", lambda each: each.rows),
        *(trail(name.replace("_", " "), counted(name)) for name in counts),
        *(trail(f"rows on {name}", share_of_rows(name), is_share=True) for name in newest.view_type_rows),
        *(trail(f"{head} rate", rate(head), is_share=True) for head in newest.labels),
        *(trail(f"{name} missing", missing(name), is_share=True) for name, count in newest.nulls.items() if count),
    ]


def _judged_on(settings: Settings, day: date) -> list[ReportSummary]:
    return [listed.summary for listed in list_reports(settings) if day in listed.summary.days]


def _learned(settings: Settings, day: date) -> list[VersionRecord]:
    versions = VersionRecords(settings).read()
    return [version for version in versions if version.first_day <= day <= version.trained_through]
