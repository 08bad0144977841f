"""Retention: what is older than the horizon ceases to exist, and a ledger proves it.

The order makes every interruption harmless: tombstone (what is about to go), horizon (readers refuse from here on),
deletion, an independent listing, ledger entry, tombstone removed. A run that finds a tombstone finishes its work.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

from mmoe.config import RetentionConfig
from mmoe.errors import CorruptionError, LakeError
from mmoe.lake import ledger
from mmoe.lake.holds import read_holds
from mmoe.lake.horizon import advance_horizon, read_horizon
from mmoe.lake.inventory import Copy, delete_copies, summarise, take_inventory
from mmoe.lake.ledger import Expired, Statement
from mmoe.lake.manifest import from_json, to_json
from mmoe.lake.partitions import ENGAGEMENT, LAKE_LOCK, RETENTION, day_of, manifest_key
from mmoe.lake.store import Store
from mmoe.parsing import Frozen

TOMBSTONE_KEY = f"{RETENTION}/tombstone.json"


class RetentionPlan(Frozen):
    """What a run on `as_of` would delete. Nothing has been touched."""

    as_of: date
    horizon: date
    max_share: float
    items: tuple[Expired, ...]
    held: tuple[date, ...]
    """Days behind the horizon that a legal hold keeps."""
    expired_days: tuple[date, ...]
    """Published partitions that go."""
    kept_days: tuple[date, ...]
    """Published partitions that stay readable."""

    @property
    def share(self) -> float:
        """Share of the published partitions that goes."""
        published = len(self.expired_days) + len(self.kept_days)
        return len(self.expired_days) / published if published else 0.0


class RetentionOutcome(Frozen):
    as_of: date
    horizon: date
    items: tuple[Expired, ...]
    """All that this run, and an interrupted one before it, deleted."""
    held: tuple[date, ...]
    ledger_entry: str | None
    """Hash of the entry that states it; None when there was nothing to delete."""


class AuditReport(Frozen):
    horizon: date | None
    readable: tuple[Expired, ...]
    """Copies behind the horizon that still exist and no hold keeps."""
    held: tuple[date, ...]
    ledger_entries: int
    problems: tuple[str, ...]
    """What is wrong with the ledger, the horizon or an unfinished run."""

    @property
    def ok(self) -> bool:
        return not self.readable and not self.problems


def horizon(store: Store) -> date | None:
    """The first day that may be read; None before the first retention run."""
    return read_horizon(store)


def plan(store: Store, landing: Path, as_of: date, config: RetentionConfig) -> RetentionPlan:
    """What expires on `as_of`: days older than `config.days` whole days. The horizon never moves back."""
    current = read_horizon(store)
    wanted = as_of - timedelta(days=config.days)
    return _plan(store, landing, as_of, max(wanted, current) if current else wanted, config.max_share)


def apply(store: Store, landing: Path, plan: RetentionPlan, *, confirmed: bool = False) -> RetentionOutcome:
    """Delete what lies behind the plan's horizon, prove it by a fresh listing, and write the ledger entry.

    Raises LakeError when more than `max_share` of the partitions would go and nobody confirmed that, or when
    something is still there afterwards. A run after an interruption ends in the same state.
    """
    with store.lock(LAKE_LOCK):
        current = read_horizon(store) or plan.horizon
        fresh = _plan(store, landing, plan.as_of, max(plan.horizon, current), plan.max_share)
        begun = _unfinished(store)
        if not confirmed and (begun is None or begun.horizon != fresh.horizon):
            _refuse_large_share(fresh)
        items = _merge(begun.items if begun else (), fresh.items)
        if not items:
            advance_horizon(store, fresh.horizon)
            return _outcome(fresh, items, None)
        statement = Statement(kind="expired", as_of=fresh.as_of, horizon=fresh.horizon, items=items)
        store.write_bytes(TOMBSTONE_KEY, to_json(statement))
        advance_horizon(store, fresh.horizon)
        delete_copies(store, landing, _behind(store, landing, fresh.horizon))
        remaining = _behind(store, landing, fresh.horizon)
        if remaining:
            raise LakeError(
                f"horizon={fresh.horizon}: {len(remaining)} files behind it are still there; see their permissions "
                "and run retention again."
            )
        entry = ledger.append(store, statement)
        store.delete([TOMBSTONE_KEY])
        return _outcome(fresh, items, entry.hash)


def audit(store: Store, landing: Path) -> AuditReport:
    """Check from the outside: nothing behind the horizon exists, the ledger's chain is whole, no run is unfinished."""
    at = read_horizon(store)
    problems = []
    chain: list[ledger.Entry] = []
    try:
        chain = ledger.entries(store)
        problems += ledger.verify(chain)
    except CorruptionError as error:
        problems.append(str(error))
    stated = max((entry.statement.horizon for entry in chain if entry.statement.horizon), default=None)
    if stated is not None and (at is None or at < stated):
        problems.append(f"The horizon is {at}, but the ledger states {stated}; run retention again.")
    if not problems and _unfinished(store) is not None:
        problems.append("A retention run was interrupted; run retention again.")
    behind = _behind(store, landing, at) if at is not None else []
    return AuditReport(
        horizon=at,
        readable=summarise(store, behind),
        held=_held(store, at),
        ledger_entries=len(chain),
        problems=tuple(problems),
    )


def _plan(store: Store, landing: Path, as_of: date, at: date, max_share: float) -> RetentionPlan:
    behind = _behind(store, landing, at)
    entries = store.list(f"{ENGAGEMENT}/")
    published = {day for entry in entries if (day := day_of(entry.key)) and entry.key == manifest_key(day)}
    expired = {copy.day for copy in behind} & published
    return RetentionPlan(
        as_of=as_of,
        horizon=at,
        max_share=max_share,
        items=summarise(store, behind),
        held=_held(store, at),
        expired_days=tuple(sorted(expired)),
        kept_days=tuple(sorted(day for day in published if day >= at)),
    )


def _behind(store: Store, landing: Path, at: date) -> list[Copy]:
    held = read_holds(store)
    return [copy for copy in take_inventory(store, landing) if copy.day < at and copy.day not in held]


def _held(store: Store, at: date | None) -> tuple[date, ...]:
    return tuple(sorted(day for day in read_holds(store) if at is not None and day < at))


def _refuse_large_share(plan: RetentionPlan) -> None:
    if plan.share > plan.max_share:
        raise LakeError(
            f"retention.max_share={plan.max_share}: this run would delete {len(plan.expired_days)} of "
            f"{len(plan.expired_days) + len(plan.kept_days)} partitions (everything before {plan.horizon}); check "
            "as_of and retention.days, then confirm the run."
        )


def _merge(earlier: Iterable[Expired], now: Iterable[Expired]) -> tuple[Expired, ...]:
    """An interrupted run's items stand as they were before it deleted anything; new ones join them."""
    items = {(item.kind, item.day): item for item in now} | {(item.kind, item.day): item for item in earlier}
    return tuple(items[key] for key in sorted(items))


def _unfinished(store: Store) -> Statement | None:
    """What an interrupted run was about to delete; None when the ledger states it already."""
    content = store.read_bytes(TOMBSTONE_KEY)
    if content is None:
        return None
    begun = from_json(Statement, content, TOMBSTONE_KEY)
    return None if any(entry.statement == begun for entry in ledger.entries(store)) else begun


def _outcome(plan: RetentionPlan, items: tuple[Expired, ...], entry: str | None) -> RetentionOutcome:
    return RetentionOutcome(as_of=plan.as_of, horizon=plan.horizon, items=items, held=plan.held, ledger_entry=entry)
