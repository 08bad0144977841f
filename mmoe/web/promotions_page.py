"""What the promotions page shows: the champion, every report, and every change of the champion."""

from dataclasses import dataclass

from mmoe.registry.records import PromotionRecord, Records, reigns
from mmoe.settings import Settings
from mmoe.web.reports import ReportSummary, list_reports


@dataclass(frozen=True, kw_only=True)
class ReportRow:
    summary: ReportSummary
    promotion: PromotionRecord | None
    """The promotion that was decided from it."""


@dataclass(frozen=True, kw_only=True)
class PromotionsPage:
    model: str
    champion: PromotionRecord | None
    """The change that installed the present champion."""
    reports: tuple[ReportRow, ...]
    history: tuple[PromotionRecord, ...]
    """Newest first; undone changes are left out."""


def read_promotions(settings: Settings) -> PromotionsPage:
    """Raises RegistryError when a promotion record is damaged."""
    records = Records(settings).read()
    done = [record for record in records if record.state == "done"]
    by_report = {record.report: record for record in done if record.report}
    champions = reigns(records)
    installed = [record for record in done if champions and record.version == champions[-1]]
    return PromotionsPage(
        model=settings.registered_model,
        champion=installed[-1] if installed else None,
        reports=tuple(
            ReportRow(summary=summary, promotion=by_report.get(summary.report)) for summary in list_reports(settings)
        ),
        history=tuple(reversed(done)),
    )
