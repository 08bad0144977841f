"""The audit: every registered holder walked anew, without regard to what retention believed; and the ledger's chain."""

from collections.abc import Sequence
from datetime import date

from mmoe.config import RetentionConfig
from mmoe.errors import CorruptionError
from mmoe.lake import ledger
from mmoe.lake.expiry import Look, decide, is_behind, unseen
from mmoe.lake.files import printable
from mmoe.lake.holders import Copy
from mmoe.lake.holds import Hold, read_holds
from mmoe.lake.horizon import Horizon, horizon_of, later, read_horizons
from mmoe.lake.inventory import Stores, looking_into, manifests, rules_of, summarise, take_inventory
from mmoe.lake.ledger import Expired, HoldTerms
from mmoe.lake.manifest import from_json, to_json
from mmoe.lake.partitions import RETENTION
from mmoe.lake.retention import undated, unfinished
from mmoe.lake.store import Store
from mmoe.parsing import Frozen

AUDIT_KEY = f"{RETENTION}/audit.json"


class Walked(Frozen):
    """What one holder had."""

    name: str
    where: str
    files: int
    bytes: int
    oldest: date | None
    newest: date | None
    past_versions: int
    """Object versions, delete markers and unfinished writes among the files."""


class Unseen(Frozen):
    """A landing file of which nothing shows the days of its rows: of a form that is not looked into, or damaged."""

    key: str
    day: date
    """The newest day that it may hold: it goes as a whole when that is behind the horizon."""
    dated: bool
    """False: neither its rows nor a folder that can be believed say the day; it is when the file was written."""
    behind: bool = False
    """It holds rows behind a horizon, which cannot be taken out of it since another part of it is damaged."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is known to be wrong with it."""
        return self.dated and not self.behind

    @property
    def sentence(self) -> str:
        tells = "cannot be looked into" if self.dated else "cannot be looked into, or tells no day that can be believed"
        if self.behind:
            tells = "holds rows behind the horizon and is damaged, so that they cannot be taken out of it"
        return (
            f"{self.key} {tells}: it goes as a whole once {self.day} is behind the horizon; before that, deliver its "
            "rows as Parquet, CSV or JSON lines below their day's dt=YYYY-MM-DD folder, or delete it."
        )


class AuditReport(Frozen):
    as_of: date
    horizon: Horizon | None
    walked: tuple[Walked, ...]
    readable: tuple[Expired, ...]
    """Copies behind a horizon that still exist and no hold keeps."""
    overdue: tuple[Expired, ...]
    """Copies that the policy lets expire on `as_of`, which no run has deleted yet."""
    undated: tuple[str, ...]
    """Files with rows of which nothing says the day."""
    unseen: tuple[Unseen, ...] = ()
    holds: tuple[HoldTerms, ...]
    """Those that block on `as_of`."""
    ledger_entries: int
    ledger_head: str | None
    """Hash of the last entry: keep it elsewhere to prove later that nothing was cut off."""
    problems: tuple[str, ...]
    """What is wrong with the ledger, the horizon, the holds or an unfinished run."""

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def remarks(self) -> list[str]:
        """Of what is no finding, since it has a day, but was not seen to be clean."""
        return [each.sentence for each in self.unseen if each.is_clean]

    @property
    def findings(self) -> list[str]:
        """One sentence for each thing that is wrong."""
        return [
            *self.problems,
            *(f"{_what(item)} is still readable." for item in self.readable),
            *(f"{_what(item)} is overdue; run retention apply." for item in self.overdue),
            *(f"{key} holds rows of no known day; move it below a dt=YYYY-MM-DD folder or delete it."
              for key in self.undated),
            *(each.sentence for each in self.unseen if not each.is_clean),
        ]  # fmt: skip


def audit(stores: Stores, as_of: date, config: RetentionConfig | None = None) -> AuditReport:
    """Walk every holder. With a policy, what it lets expire on `as_of` counts as overdue where it is still there."""
    store = stores.store
    chain, problems = _chain(store)
    at, wrong = _horizon(store, chain)
    holds, unreadable = _holds(store)
    problems += [*wrong, *unreadable]
    if not problems:
        problems += _unfinished(store, chain)
    copies = take_inventory(stores, chain)
    active = tuple(hold for hold in holds if hold.active(as_of))
    look = looking_into(stores, as_of)
    readable, hidden = _left(stores, copies, look, at, active, as_of)
    due: tuple[Expired, ...] = ()
    if config is not None:
        due, hidden = _left(stores, copies, look, later(horizon_of(as_of, config), at), active, as_of)
    return AuditReport(
        as_of=as_of,
        horizon=at,
        walked=tuple(_walked(holder.name, holder.where, copies) for holder in stores.holders),
        readable=readable,
        overdue=tuple(item for item in due if item not in readable),
        undated=undated(copies),
        unseen=hidden,
        holds=tuple(hold.stated for hold in active),
        ledger_entries=len(chain),
        ledger_head=chain[-1].hash if chain else None,
        problems=tuple(problems),
    )


def save_audit(store: Store, report: AuditReport) -> None:
    """Keep it for the UI, in the place of the one before."""
    store.write_bytes(AUDIT_KEY, to_json(report))


def last_audit(store: Store) -> AuditReport | None:
    """Raises CorruptionError."""
    content = store.read_bytes(AUDIT_KEY)
    return from_json(AuditReport, content, AUDIT_KEY, "run retention audit again") if content is not None else None


def _left(
    stores: Stores, copies: Sequence[Copy], look: Look, at: Horizon | None, holds: tuple[Hold, ...], as_of: date
) -> tuple[tuple[Expired, ...], tuple[Unseen, ...]]:
    """What should not be there any more, and what stays without having been seen to be clean."""
    if at is None:
        return (), ()
    found = manifests(stores.store)
    rules = rules_of(stores, copies, found, at, holds, as_of)
    hidden = tuple(
        Unseen(
            key=printable(f"{copy.holder}:{copy.key}"),
            day=rules.newest_day(copy),
            dated=not (copy.guessed or rules.misdated(copy)),
            behind=is_behind(copy, rules, look),
        )
        for copy in unseen(copies, rules, look)
    )
    return summarise(decide(copies, rules, look), found), hidden


def _chain(store: Store) -> tuple[list[ledger.Entry], list[str]]:
    try:
        chain = ledger.entries(store)
        return chain, [*ledger.verify(chain), *ledger.cut_off(store, chain)]
    except CorruptionError as error:
        return [], [str(error)]


def _horizon(store: Store, chain: Sequence[ledger.Entry]) -> tuple[Horizon | None, list[str]]:
    """The furthest of what the lake and its ledger say, and whether the lake's is behind."""
    stated = None
    for entry in chain:
        said = entry.statement
        if said.horizon is not None:
            stated = later(Horizon(day=said.horizon, view_types=said.view_types, labels=said.labels), stated)
    try:
        at = read_horizons(store)
    except CorruptionError as error:
        return stated, [str(error)]
    if stated is None:
        return at, []
    furthest = later(stated, at)
    if furthest == at:
        return at, []
    return furthest, [
        f"The horizon is {at.day if at else None}, but the ledger states {stated.day}; run retention again."
    ]


def _holds(store: Store) -> tuple[tuple[Hold, ...], list[str]]:
    try:
        return read_holds(store), []
    except CorruptionError as error:
        return (), [str(error)]


def _unfinished(store: Store, chain: Sequence[ledger.Entry]) -> list[str]:
    try:
        begun = unfinished(store, chain)
    except CorruptionError as error:
        return [str(error)]
    return ["A retention run was interrupted; run retention again."] if begun is not None else []


def _walked(name: str, where: str, copies: Sequence[Copy]) -> Walked:
    mine = [copy for copy in copies if copy.holder == name]
    days = [copy.day for copy in mine if copy.day is not None]
    return Walked(
        name=name,
        where=where,
        files=len(mine),
        bytes=sum(copy.size for copy in mine),
        oldest=min(days, default=None),
        newest=max(days, default=None),
        past_versions=sum(not copy.current for copy in mine),
    )


def _what(item: Expired) -> str:
    parts = ", ".join((*item.view_types, *item.labels))
    return f"{item.kind} of {item.day}" + (f" ({parts or 'late rows'})" if item.part else "")
