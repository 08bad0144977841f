"""What a person sees before and after asking for a rollback."""

from dataclasses import dataclass
from typing import Literal

from mmoe.registry.records import PromotionRecord, Records, VersionRecord, VersionRecords
from mmoe.settings import Settings
from mmoe.web.promotions_page import Champion, read_champion


@dataclass(frozen=True, kw_only=True)
class Target:
    """A version that can be returned to."""

    version: str
    record: VersionRecord | None
    reigned: PromotionRecord | None
    """The last change that made it champion; None if it never was."""


@dataclass(frozen=True, kw_only=True)
class RollbackPage:
    champion: Champion
    targets: tuple[Target, ...]
    """Those that were champion first, newest first; then every other version on record."""
    chosen: str
    number: int
    """Of the next promotion record."""


@dataclass(frozen=True, kw_only=True)
class RollbackState:
    """What became of a request."""

    version: str
    state: Literal["waiting", "done", "overtaken"]
    record: PromotionRecord | None
    """The change that has taken its number."""


def read_rollback(settings: Settings, chosen: str) -> RollbackPage | None:
    """None where there is no champion, or nothing to return to."""
    records = Records(settings).read()
    champion = read_champion(settings, records)
    if champion is None:
        return None
    versions = {each.version: each for each in VersionRecords(settings).read()}
    reigned = {record.version: record for record in records if record.state == "done"}
    past = sorted(reigned, key=lambda version: reigned[version].number, reverse=True)
    others = [version for version in reversed(versions) if version not in reigned]
    targets = tuple(
        Target(version=version, record=versions.get(version), reigned=reigned.get(version))
        for version in (*past, *others)
        if version != champion.record.version
    )
    if not targets:
        return None
    known = {target.version for target in targets}
    wanted = chosen if chosen in known else champion.previous
    return RollbackPage(
        champion=champion,
        targets=targets,
        chosen=wanted if wanted in known else targets[0].version,
        number=next_number(records),
    )


def next_number(records: list[PromotionRecord]) -> int:
    return records[-1].number + 1 if records else 1


def rollback_state(settings: Settings, number: int, version: str) -> RollbackState:
    """Whether the first change from this number on is the one that was asked for."""
    done = [each for each in Records(settings).read() if each.number >= number and each.state == "done"]
    if not done:
        return RollbackState(version=version, state="waiting", record=None)
    mine = done[0].kind == "rollback" and done[0].version == version
    return RollbackState(version=version, state="done" if mine else "overtaken", record=done[0])
