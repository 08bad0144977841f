"""Moving the champion alias. MLflow's aliases have neither history nor compare-and-set; this gives them both.

Under a lock: check who is champion, write an intent, move `previous` then `champion`, read back, close the record.
Whoever comes next finishes or undoes an intent that was left open, so a change killed anywhere is whole afterwards.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from mmoe.errors import RegistryError
from mmoe.registry.client import file_lock
from mmoe.registry.records import PromotionRecord, Records, reigns
from mmoe.registry.versions import Version, Versions


@dataclass(frozen=True, kw_only=True)
class Change:
    """A wish to change the champion."""

    kind: Literal["bootstrap", "promotion", "rollback"]
    version: str
    expected_champion: str | None
    digest: str
    actor: str
    reason: str
    report: str | None = None


class Promotions:
    """Every change of one model's champion."""

    def __init__(self, versions: Versions, records: Records) -> None:
        self.versions = versions
        self.records = records

    def apply(self, change: Change) -> PromotionRecord:
        """Make the change, or return its record if it is made. Raises RegistryError when it may not be made."""
        with self._lock():
            self._settle()
            return self._apply(change)

    def roll_back(self, expected_champion: str, actor: str, reason: str, to: str | None = None) -> PromotionRecord:
        """Return from `expected_champion` to a registered version; None: to the champion before it."""
        with self._lock():
            self._settle()
            target = to or self.target(expected_champion)
            change = Change(
                kind="rollback", version=target, expected_champion=expected_champion,
                digest=self.versions.get(target).digest, actor=actor, reason=reason,
            )  # fmt: skip
            return self._apply(change)

    def target(self, expected_champion: str) -> str:
        """Where a rollback from this champion leads, or has led. Raises RegistryError if nowhere."""
        target = self._rolled_back_to(expected_champion) or self.versions.aliases().get("previous")
        if target is None:
            raise RegistryError(
                f"version={expected_champion}: no earlier champion to return to; name a version or promote another."
            )
        return target

    def reconcile(self) -> PromotionRecord | None:
        """Finish or undo what an interrupted change left; the record of it, or None if there was nothing."""
        with self._lock():
            return self._settle()

    def _lock(self) -> AbstractContextManager[None]:
        return file_lock(self.records.folder / ".lock")

    def _apply(self, change: Change) -> PromotionRecord:
        if not change.actor.strip():
            raise RegistryError("actor='': nobody; say who decided it.")
        done = self._made_already(change)
        if done is not None:
            return done
        self._refuse(change, self.versions.get(change.version))
        record = self._intend(change)
        self._move(record)
        return self._close(record)

    def _settle(self) -> PromotionRecord | None:
        records = self.records.read()
        if not records or records[-1].state != "intent":
            return None
        intent = records[-1]
        if self.versions.aliases().get("champion") == intent.version:
            self._move(intent)
            return self._close(intent)
        self.versions.point("previous", intent.previous_before)
        undone = intent.model_copy(update={"state": "undone"})
        self.records.write(undone)
        return undone

    def _made_already(self, change: Change) -> PromotionRecord | None:
        """The last change, if it is this one and still holds: a step that runs twice changes nothing."""
        last = self._last_done()
        if last is None or self.versions.aliases().get("champion") != change.version:
            return None
        wanted = (change.kind, change.version, change.expected_champion)
        return last if (last.kind, last.version, last.replaces) == wanted else None

    def _rolled_back_to(self, expected_champion: str) -> str | None:
        last = self._last_done()
        is_it = last is not None and last.kind == "rollback" and last.replaces == expected_champion
        return last.version if last is not None and is_it else None

    def _last_done(self) -> PromotionRecord | None:
        return next((record for record in reversed(self.records.read()) if record.state == "done"), None)

    def _refuse(self, change: Change, candidate: Version) -> None:
        past = reigns(self.records.read())
        champion = self.versions.aliases().get("champion")
        if champion is None and change.kind == "rollback" and past:
            champion = past[-1]  # its alias went with a deleted version: the records still know it
        if candidate.digest != change.digest:
            raise RegistryError(
                f"version={change.version}: registered with digest {candidate.digest[:12]}, but {change.digest[:12]} "
                "was approved. Run batch training again and approve the new report."
            )
        if champion == change.version:
            raise RegistryError(f"version={change.version}: it is champion already; there is nothing to promote.")
        if champion != change.expected_champion:
            raise RegistryError(
                f"version={change.version}: approved against champion {change.expected_champion or 'none'}, but the "
                f"champion is {champion or 'none'} now. Run batch training again: the comparison is stale."
            )
        if change.kind == "bootstrap" and past:
            raise RegistryError(
                f"version={change.version}: version {past[-1]} is champion by the records, though its alias is gone; "
                "a bootstrap is for a registry that never had one. Set the alias again, or roll back."
            )

    def _intend(self, change: Change) -> PromotionRecord:
        records = self.records.read()
        kept = reigns(records)
        if change.kind == "rollback" and change.version in kept:
            earlier = kept[: kept.index(change.version)]
            previous_after = earlier[-1] if earlier else None
        else:
            previous_after = change.expected_champion
        record = PromotionRecord(
            number=records[-1].number + 1 if records else 1,
            kind=change.kind,
            state="intent",
            version=change.version,
            digest=change.digest,
            replaces=change.expected_champion,
            previous_before=self.versions.aliases().get("previous"),
            previous_after=previous_after,
            actor=change.actor,
            reason=change.reason,
            report=change.report,
            at=datetime.now(UTC),
        )
        self.records.write(record)
        return record

    def _move(self, record: PromotionRecord) -> None:
        self.versions.point("previous", record.previous_after)
        self.versions.point("champion", record.version)
        if self.versions.aliases().get("challenger") == record.version:
            self.versions.point("challenger", None)

    def _close(self, record: PromotionRecord) -> PromotionRecord:
        aliases = self.versions.aliases()
        found = (aliases.get("champion"), aliases.get("previous"))
        if found != (record.version, record.previous_after):
            raise RegistryError(
                f"version={record.version}: read back champion={found[0]}, previous={found[1]} after setting them to "
                f"{record.version} and {record.previous_after}; something else moves these aliases. Run it again."
            )
        done = record.model_copy(update={"state": "done"})
        self.records.write(done)
        return done
