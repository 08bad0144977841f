"""What the promotions page shows: the champion, the reports that match, and every change of the champion."""

from dataclasses import dataclass
from math import ceil
from typing import Literal, get_args

from mmoe.registry.records import PromotionRecord, Records, VersionRecord, VersionRecords, reigns
from mmoe.settings import Settings
from mmoe.web.reports import Listed, list_reports

PAGE_ROWS = 50
Decision = Literal["promoted", "overridden", "not promoted"]
DECISIONS = get_args(Decision)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What a person looks for; an empty field wants everything."""

    verdict: str = ""
    kind: str = ""
    decision: str = ""
    text: str = ""
    """In the title, a version, a digest, the run, or who decided."""

    @property
    def any(self) -> bool:
        return bool(self.verdict or self.kind or self.decision or self.text.strip())

    def match(self, row: "ReportRow") -> bool:
        summary = row.listed.summary
        return (
            self.verdict in ("", summary.verdict)
            and self.kind in ("", summary.kind)
            and self.decision in ("", row.decision)
            and self.text.strip().lower() in row.text.lower()
        )


@dataclass(frozen=True, kw_only=True)
class ReportRow:
    listed: Listed
    promotion: PromotionRecord | None
    """The promotion that was decided from it."""
    is_champion: bool

    @property
    def decision(self) -> Decision:
        if self.promotion is None:
            return "not promoted"
        return "promoted" if self.listed.summary.verdict == "pass" else "overridden"

    @property
    def text(self) -> str:
        summary, promotion = self.listed.summary, self.promotion
        who = f"{promotion.actor} {promotion.reason}" if promotion else ""
        return f"{summary.title} version {summary.version} {summary.digest} {summary.source_run} {who}"


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The version that serves, and the change that installed it."""

    record: PromotionRecord
    version: VersionRecord | None
    previous: str | None
    """The version that a rollback returns to."""


@dataclass(frozen=True, kw_only=True)
class PromotionsPage:
    model: str
    champion: Champion | None
    filters: Filters
    rows: tuple[ReportRow, ...]
    """Those of this page, newest first."""
    matches: int
    reports: int
    number: int
    pages: int
    kinds: tuple[str, ...]
    history: tuple[PromotionRecord, ...]
    """Newest first; undone changes are left out."""


def read_promotions(settings: Settings, filters: Filters, number: int = 1) -> PromotionsPage:
    """Raises RegistryError when a record is damaged."""
    records = Records(settings).read()
    champion = read_champion(settings, records)
    done = [record for record in records if record.state == "done"]
    by_report = {record.report: record for record in done if record.report}
    serving = champion.record.version if champion else None
    rows = [
        ReportRow(
            listed=each,
            promotion=by_report.get(each.summary.report),
            is_champion=each.summary.version == serving,
        )
        for each in list_reports(settings)
    ]
    matching = [row for row in rows if filters.match(row)]
    pages = max(1, ceil(len(matching) / PAGE_ROWS))
    number = min(max(1, number), pages)
    return PromotionsPage(
        model=settings.registered_model,
        champion=champion,
        filters=filters,
        rows=tuple(matching[(number - 1) * PAGE_ROWS : number * PAGE_ROWS]),
        matches=len(matching),
        reports=len(rows),
        number=number,
        pages=pages,
        kinds=tuple(sorted({row.listed.summary.kind for row in rows})),
        history=tuple(reversed(done)),
    )


def read_champion(settings: Settings, records: list[PromotionRecord]) -> Champion | None:
    """By the records, which outlive a lost alias."""
    past = reigns(records)
    if not past:
        return None
    installed = next(record for record in reversed(records) if record.state == "done" and record.version == past[-1])
    version = VersionRecords(settings).find(past[-1])
    return Champion(record=installed, version=version, previous=past[-2] if len(past) > 1 else None)
