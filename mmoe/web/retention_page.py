"""What the retention page shows: horizons, the last audit, holds, the ledger, and what models have learned."""

from dataclasses import dataclass
from datetime import date

from mmoe.lake.audit import AuditReport, last_audit
from mmoe.lake.holds import Hold, read_holds
from mmoe.lake.horizon import Horizon, read_horizons
from mmoe.lake.ledger import Entry
from mmoe.lake.manifest import from_json
from mmoe.lake.store import Store, open_store
from mmoe.registry.windows import MODELS_KEY, LearnedModel, LearnedModels
from mmoe.settings import Settings
from mmoe.web.lake_page import read_ledger

SHOWN_ENTRIES = 50


@dataclass(frozen=True, kw_only=True)
class RetentionPage:
    horizon: Horizon | None
    audit: AuditReport | None
    """The last one; None before the first."""
    holds: tuple[Hold, ...]
    """Those that were not ended; newest last."""
    entries: tuple[Entry, ...]
    """The ledger's newest, newest first."""
    ledger_entries: int
    ledger_problems: tuple[str, ...]
    models: LearnedModels | None

    @property
    def earlier(self) -> dict[str, date]:
        """View types and labels with a horizon of their own."""
        return {**self.horizon.view_types, **self.horizon.labels} if self.horizon else {}

    def behind(self, model: LearnedModel) -> int:
        """Days behind the horizon that the model's weights have learned, whichever way."""
        if self.horizon is None:
            return 0
        return sum(day < self.horizon.day for day in (*model.own, *model.inherited, *model.taught))

    @property
    def remembering(self) -> list[LearnedModel]:
        """Versions with such days, newest first."""
        return [each for each in reversed(self.models.models) if self.behind(each)] if self.models else []


def read_retention(settings: Settings) -> RetentionPage:
    """Raises CorruptionError when the horizon, the holds or the audit's file is damaged."""
    store = open_store(settings.lake_url, settings.cache_path)
    chain, problems = read_ledger(store)
    return RetentionPage(
        horizon=read_horizons(store),
        audit=last_audit(store),
        holds=tuple(hold for hold in read_holds(store) if hold.ended_by is None),
        entries=tuple(reversed(chain[-SHOWN_ENTRIES:])),
        ledger_entries=len(chain),
        ledger_problems=tuple(problems),
        models=read_models(store),
    )


def read_models(store: Store) -> LearnedModels | None:
    content = store.read_bytes(MODELS_KEY)
    return from_json(LearnedModels, content, MODELS_KEY, "run retention audit again") if content is not None else None
