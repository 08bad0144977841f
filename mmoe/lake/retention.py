"""Retention: what lies behind a horizon ceases to exist, and a ledger proves it.

The order makes every interruption harmless: tombstone (what is about to go), horizons (readers refuse from here on),
deletion and rewriting, an independent listing, ledger entry, tombstone removed. A run that finds a tombstone finishes
its work.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

from mmoe.config import RetentionConfig
from mmoe.errors import LakeError
from mmoe.lake import ledger
from mmoe.lake.expiry import Action, Rules, decide
from mmoe.lake.files import printable
from mmoe.lake.holders import LAKE, LANDING, LATE, Copy
from mmoe.lake.holds import active_holds
from mmoe.lake.horizon import Horizon, advance_horizon, horizon_of, later, read_horizon, read_horizons
from mmoe.lake.inventory import Stores, looking_into, manifests, rules_of, summarise, take_inventory
from mmoe.lake.ledger import Expired, HoldTerms, Statement
from mmoe.lake.manifest import from_json, to_json
from mmoe.lake.partitions import ENGAGEMENT, LAKE_LOCK, RETENTION
from mmoe.lake.rewrite import rewrite_late, rewrite_partition, rewrite_raw
from mmoe.lake.safeguards import refuse_future, refuse_large_share, require_fit
from mmoe.lake.store import Store
from mmoe.parsing import Frozen

TOMBSTONE_KEY = f"{RETENTION}/tombstone.json"
SHOWN_KEYS = 5


class RetentionPlan(Frozen):
    """What a run on `as_of` would delete. Nothing has been touched."""

    as_of: date
    horizon: Horizon
    max_share: float
    items: tuple[Expired, ...]
    holds: tuple[HoldTerms, ...]
    """Legal holds that keep something behind a horizon."""
    undated: tuple[str, ...]
    """Files with rows of which nothing says the day: they are not deleted, and fail the audit."""
    expired_days: tuple[date, ...]
    """Published partitions that go."""
    kept_days: tuple[date, ...]
    """Published partitions that stay, in whole or in part."""
    published_rows: int
    """In all partitions, before the run."""

    @property
    def share(self) -> float:
        """Share of the published partitions, or of their rows, that goes: the larger of both."""
        published = len(self.expired_days) + len(self.kept_days)
        partitions = len(self.expired_days) / published if published else 0.0
        return max(partitions, self.expired_rows / self.published_rows if self.published_rows else 0.0)

    @property
    def expired_rows(self) -> int:
        return sum(item.rows or 0 for item in self.items if item.kind == ENGAGEMENT)


class RetentionOutcome(Frozen):
    as_of: date
    horizon: Horizon
    items: tuple[Expired, ...]
    """All that this run, and an interrupted one before it, deleted."""
    holds: tuple[HoldTerms, ...]
    ledger_entry: str | None
    """Hash of the entry that states it; None when there was nothing to delete."""


def horizon(store: Store) -> date | None:
    """The first day that may be read; None before the first retention run."""
    return read_horizon(store)


def plan(stores: Stores, as_of: date, config: RetentionConfig, *, today: date) -> RetentionPlan:
    """What expires on `as_of`, a date of the schema's days. The horizons never move back.

    Raises LakeError when `as_of` lies more than a day past both `today` and the newest data, and ConfigError when the
    policy names what the schema does not have or lets labels expire before they are final.
    """
    require_fit(config, stores.schema)
    chain = ledger.whole_chain(stores.store)
    copies = take_inventory(stores, chain)
    refuse_future(as_of, today, copies)
    wanted = later(horizon_of(as_of, config), read_horizons(stores.store))
    return make_plan(stores, copies, as_of, wanted, config.max_share)[0]


def apply(stores: Stores, plan: RetentionPlan, *, confirmed_by: str | None = None) -> RetentionOutcome:
    """Delete what lies behind the plan's horizons, prove it by a fresh listing, and write the ledger entry.

    Raises LakeError when more than `max_share` would go and nobody confirmed that, when a holder refuses, or when
    something is still there afterwards; CorruptionError when the ledger is not whole. A run after an interruption ends
    in the same state.
    """
    store = stores.store
    with store.lock(LAKE_LOCK):
        chain = ledger.settle(store)
        begun = unfinished(store, chain)
        copies = take_inventory(stores, chain)
        wanted = later(plan.horizon, read_horizons(store))
        fresh, actions, rules = make_plan(stores, copies, plan.as_of, wanted, plan.max_share)
        if confirmed_by is None and (begun is None or begun.horizon != wanted.day):
            refuse_large_share(
                fresh.share, fresh.max_share,
                f"{len(fresh.expired_days)} of {len(fresh.expired_days) + len(fresh.kept_days)} partitions, "
                f"{fresh.expired_rows:,} of {fresh.published_rows:,} rows (everything before {wanted.day})",
                fresh.as_of,
            )  # fmt: skip
        items = _merge(begun.items if begun else (), fresh.items)
        if not items:
            advance_horizon(store, wanted)
            store.delete([TOMBSTONE_KEY])
            return _outcome(fresh, items, None)
        statement = Statement(
            kind="expired", as_of=fresh.as_of, horizon=wanted.day, view_types=wanted.view_types, labels=wanted.labels,
            actor=confirmed_by, items=items,
        )  # fmt: skip
        store.write_bytes(TOMBSTONE_KEY, to_json(statement))
        advance_horizon(store, wanted)
        carry_out(stores, actions, rules)
        refuse_remains(stores, chain, rules)
        entry = ledger.append(store, statement)
        store.delete([TOMBSTONE_KEY])
        return _outcome(fresh, items, entry.hash)


def make_plan(
    stores: Stores, copies: Sequence[Copy], as_of: date, wanted: Horizon, max_share: float
) -> tuple[RetentionPlan, list[Action], Rules]:
    """The plan for given listings, horizons and holds, and the actions it sums up."""
    found = manifests(stores.store)
    rules = rules_of(stores, copies, found, wanted, active_holds(stores.store, as_of), as_of)
    actions = decide(copies, rules, looking_into(stores, as_of))
    published = {copy.day for copy in copies if is_manifest(copy)}
    gone = {action.copy.day for action in actions if action.removal is None and is_manifest(action.copy)}
    return (
        RetentionPlan(
            as_of=as_of,
            horizon=wanted,
            max_share=max_share,
            items=summarise(actions, found),
            holds=tuple(hold.stated for hold in rules.holds if hold.first < wanted.newest),
            undated=undated(copies),
            expired_days=tuple(sorted(day for day in gone if day is not None)),
            kept_days=tuple(sorted(day for day in published - gone if day is not None)),
            published_rows=sum(manifest.rows for manifest in found.values()),
        ),
        actions,
        rules,
    )


def carry_out(stores: Stores, actions: Sequence[Action], rules: Rules) -> None:
    """Delete and rewrite, in every holder whatever another one refuses. Raises LakeError with all that went wrong."""
    problems = []
    for holder in stores.holders:
        mine = [action for action in actions if action.copy.holder == holder.name]
        try:
            holder.delete(action.copy for action in mine if action.removal is None)
        except LakeError as error:
            problems.append(str(error))
    for action in (action for action in actions if action.removal is not None and action.copy.holder == LANDING):
        try:
            stores.landing.replace(action.copy, rewriter(stores, action, rules))
        except LakeError as error:
            problems.append(str(error))
    rewritten = [action for action in actions if action.removal is not None and action.copy.holder == LAKE]
    steps = [partial(rewrite_late, key=each.copy.key, day=_day(each)) for each in rewritten if each.copy.kind == LATE]
    days = sorted({_day(each) for each in rewritten if each.copy.kind == ENGAGEMENT})
    for step in (*steps, *(partial(rewrite_partition, day=day) for day in days)):
        try:
            step(stores.store, stores.schema, rules=rules)
        except LakeError as error:
            problems.append(str(error))
    if problems:
        raise LakeError(" ".join(problems) + " What could go is gone; run retention again.")


def rewriter(stores: Stores, action: Action, rules: Rules) -> Callable[[Path], None]:
    """A call that writes a landing file without what must go."""
    path = stores.landing.local(action.copy)
    return lambda target: rewrite_raw(path, target, stores.schema, rules.newest_day(action.copy), rules)


def refuse_remains(stores: Stores, chain: Sequence[ledger.Entry], rules: Rules) -> None:
    """List everything again, without regard to what was deleted. Raises LakeError if anything is left to do."""
    remaining = decide(take_inventory(stores, chain), rules, looking_into(stores, rules.as_of))
    if remaining:
        shown = ", ".join(printable(f"{each.copy.holder}:{each.copy.key}") for each in remaining[:SHOWN_KEYS])
        raise LakeError(
            f"horizon={rules.horizon.day}: {len(remaining)} files behind it are still there ({shown}); see their "
            "permissions and run retention again."
        )


def unfinished(store: Store, chain: Sequence[ledger.Entry]) -> Statement | None:
    """What an interrupted run was about to delete; None when the ledger states it already. Raises CorruptionError."""
    content = store.read_bytes(TOMBSTONE_KEY)
    if content is None:
        return None
    fix = "delete it and run retention again, which lists anew whatever is still there"
    begun = from_json(Statement, content, TOMBSTONE_KEY, fix)
    return None if any(entry.statement == begun for entry in chain) else begun


def undated(copies: Iterable[Copy]) -> tuple[str, ...]:
    return tuple(printable(f"{copy.holder}:{copy.key}") for copy in copies if copy.day is None)


def is_manifest(copy: Copy) -> bool:
    return copy.holder == LAKE and copy.kind == ENGAGEMENT and copy.current and copy.key.endswith("/manifest.json")


def _merge(earlier: Iterable[Expired], now: Iterable[Expired]) -> tuple[Expired, ...]:
    """An interrupted run's items stand as they were before it deleted anything; new ones join them."""
    items = {_item_key(item): item for item in now} | {_item_key(item): item for item in earlier}
    return tuple(items[key] for key in sorted(items))


def _item_key(item: Expired) -> tuple[str, date, bool]:
    return item.kind, item.day, item.part


def _outcome(plan: RetentionPlan, items: tuple[Expired, ...], entry: str | None) -> RetentionOutcome:
    return RetentionOutcome(as_of=plan.as_of, horizon=plan.horizon, items=items, holds=plan.holds, ledger_entry=entry)


def _day(action: Action) -> date:
    assert action.copy.day is not None  # noqa: S101  # decide() leaves the others out
    return action.copy.day
