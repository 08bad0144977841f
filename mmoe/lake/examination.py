"""All that was asked of a day's rows and what the answers were: bounds, counts and shares, never a row's value."""

from datetime import date
from typing import Literal

from mmoe.lake.manifest import Failure, Severity, Validation, from_json, to_json
from mmoe.lake.partitions import LAKE_LOCK, examination_key, profile_key
from mmoe.lake.profile import DayProfile
from mmoe.lake.reader import refuse_expired
from mmoe.lake.store import Store
from mmoe.parsing import Frozen

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")


class Check(Frozen):
    """One expectation on all rows, or on those of one view type."""

    expectation: str
    column: str | None = None
    view_type: str | None = None
    severity: Severity
    outcome: Literal["held", "failed", "not judged"]
    """not judged: too few rows, labels or earlier days to say."""
    expected: str = ""
    observed: str = ""

    @property
    def failure(self) -> Failure:
        measured = self.observed and self.expected and not self.observed.endswith(" rows")
        between = f" is outside {self.expected}" if measured else ""
        return Failure(
            expectation=self.expectation,
            column=self.column,
            view_type=self.view_type,
            severity=self.severity,
            detail=self.observed + between or "the day as a whole is outside the bounds",
        )


class Examination(Frozen):
    """Everything that one suite asked of one set of rows."""

    format: Literal[1] = 1
    day: date
    suite: str
    subject: str
    """Digest of what was examined."""
    compared_with: tuple[date, ...] = ()
    """The earlier days that the bounds were drawn from."""
    checks: tuple[Check, ...]

    def failures(self) -> tuple[Failure, ...]:
        """What did not hold, each once: not again in a milder form, nor on a view type where all rows say it."""
        failed = [check for check in self.checks if check.outcome == "failed"]
        worst = {severity: {_place(check) for check in failed if check.severity == severity} for severity in SEVERITIES}

        def is_said(check: Check) -> bool:
            """By a graver failure in the same place, or by as grave a one on all rows."""
            expectation, column, view_type = _place(check)
            graver = SEVERITIES[: SEVERITIES.index(check.severity)]
            everywhere = (expectation, column, None)
            return any({everywhere, _place(check)} & worst[severity] for severity in graver) or (
                view_type is not None and everywhere in worst[check.severity]
            )

        return tuple(check.failure for check in failed if not is_said(check))

    def validation(self, problems: tuple[Failure, ...] = ()) -> Validation:
        failures = (*problems, *self.failures())
        severities = {failure.severity for failure in failures}
        status: Literal["passed", "warned", "failed"] = (
            "failed" if "critical" in severities else "warned" if "warning" in severities else "passed"
        )
        judged = sum(check.outcome != "not judged" for check in self.checks)
        return Validation(status=status, subject=self.subject, checks=judged + 1, failures=failures)


def _place(check: Check) -> tuple[str, str | None, str | None]:
    return check.expectation, check.column, check.view_type


def keep(store: Store, examination: Examination, profile: DayProfile | None = None) -> None:
    """Write them under the day. Raises PartitionExpiredError behind the horizon."""
    day, subject = examination.day, examination.subject
    with store.lock(LAKE_LOCK):
        refuse_expired(store, day)
        if profile is not None:
            store.write_bytes(profile_key(day, subject), to_json(profile))
        store.write_bytes(examination_key(day, subject), to_json(examination))


def read_examination(store: Store, day: date, subject: str) -> Examination | None:
    key = examination_key(day, subject)
    content = store.read_bytes(key)
    return from_json(Examination, content, key) if content is not None else None
