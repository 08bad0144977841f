"""What the page says in words, derived from the report: the conclusion, rules by kind, and each model's days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.verdict import Finding, GateResult, Lift, Word, overall
from mmoe.evaluate.verdict import slice_name as named
from mmoe.report.data import Model, Report, UsedDay
from mmoe.report.forest import LIFT_RULES

KINDS = {
    "held-out days unseen": "Held-out days",
    "baseline current": "Baseline",
    "rows paired": "Rows",
    "head present": "Heads",
    "slice present": "Slices",
    "lift": "Mean of primary heads",
    "head": "Primary heads",
    "slice": "Primary, by slice",
    "slice too small": "Primary, by slice",
    "guardrail": "Guardrail heads",
    "floor": "Floors",
    "calibration": "Calibration",
    "score shift": "Shift of scores",
    "latency budget": "Serving budgets",
    "size budget": "Serving budgets",
    "data warnings": "Data warnings",
    "model age": "Age of the model",
}
FEW = 3
SHORT_CALENDAR = 31
"""Most days of a calendar that has room to name each."""
ORDER: dict[Word, int] = {"fail": 0, "inconclusive": 1, "pass": 2}


@dataclass(frozen=True, kw_only=True)
class RuleGroup:
    """Rules of one kind; `shown` are those worth a line of their own."""

    name: str
    verdict: Word
    passed: int
    total: int
    shown: tuple[Finding, ...]
    unjudged: int
    """Rules that hold only because their slice has too few labels to object."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model on one day of the calendar."""

    day: date
    used: UsedDay | None
    label: str
    named: bool
    """Whether the label stays where there is no room for all."""


def conclusion(report: Report) -> str:
    """One sentence that a person can act on."""
    gate, new, old = report.gate, report.version, report.baseline_version
    failed = sum(finding.verdict == "fail" for finding in gate.findings)
    undecided = sum(finding.verdict == "inconclusive" for finding in gate.findings)
    if report.verdict == "pass":
        better = "ranks better than" if gate.min_lift > 0 else "is not worse than"
        return f"Version {new} {better} version {old}, and all {len(gate.findings)} rules hold."
    if report.verdict == "fail":
        return f"Version {new} should not replace version {old}: {failed} of {len(gate.findings)} rules fail."
    return f"The held-out rows do not settle it: {undecided} of {len(gate.findings)} rules are open. {remedy(gate)}"


def remedy(gate: GateResult) -> str:
    """How much more would have to be held out."""
    if gate.rows_needed is None or not gate.rows:
        return "See the open rules for what is missing."
    factor = gate.rows_needed / gate.rows
    times = f"{factor:.0f}" if factor >= 10 else f"{factor:.1f}"
    return f"About {two_digits(gate.rows_needed):,} held-out rows, {times} times as many, probably would."


def two_digits(rows: float) -> int:
    return int(round(rows, 2 - len(str(int(rows)))))


def consequence(report: Report) -> str:
    """What happens next."""
    if report.config.get("kind") == "incremental":
        return (
            "A daily update that passes is promoted by itself."
            if report.verdict == "pass"
            else "A daily update that does not pass leaves the champion as it is."
        )
    if report.verdict == "pass":
        return f"Approving makes version {report.version} the champion."
    return "Approving it all the same needs a reason, which is recorded."


def rule_groups(gate: GateResult) -> list[RuleGroup]:
    """By kind, those with objections first; objections are shown, and rules that hold where they are few."""
    unmeasured = {(lift.head, lift.slice_by, lift.slice) for lift in gate.lifts if lift.lift is None}
    groups: dict[str, list[Finding]] = {}
    for finding in gate.findings:
        groups.setdefault(KINDS.get(finding.rule, finding.rule), []).append(finding)
    found = [
        RuleGroup(
            name=name,
            verdict=overall(tuple(rules)),
            passed=sum(rule.verdict == "pass" for rule in rules),
            total=len(rules),
            shown=worth_showing(rules),
            unjudged=sum(
                rule.verdict == "pass"
                and rule.rule in LIFT_RULES
                and (rule.head, rule.slice_by, rule.slice) in unmeasured
                for rule in rules
            ),
        )
        for name, rules in groups.items()
    ]
    return sorted(found, key=lambda group: ORDER[group.verdict])


def worth_showing(rules: Sequence[Finding]) -> tuple[Finding, ...]:
    objections = [rule for rule in rules if rule.verdict != "pass"]
    chosen = objections or (rules if len(rules) <= FEW else [])
    return tuple(sorted(chosen, key=lambda rule: ORDER[rule.verdict]))


def days_shown(report: Report) -> list[date]:
    """Every day from the first that either model used to the last."""
    used = [each.day for model in (report.champion, report.challenger) for each in model.days]
    return [min(used) + timedelta(days=number) for number in range((max(used) - min(used)).days + 1)] if used else []


def calendar(model: Model, days: Sequence[date]) -> list[Cell]:
    used, named = {each.day: each for each in model.days}, named_days(days)
    return [Cell(day=day, used=used.get(day), label=day_label(day, days), named=day in named) for day in days]


def day_label(day: date, days: Sequence[date]) -> str:
    if day.day == 1 and len(days) > SHORT_CALENDAR:
        return f"{day:%b}"
    return f"{day:%b} {day.day}" if day.day == 1 or day == days[0] else str(day.day)


def named_days(days: Sequence[date]) -> set[date]:
    """The first day, then the first of each month, and Mondays where days are few; far enough apart to be read."""
    named: list[date] = []
    for day in days:
        apart = not named or (day - named[-1]).days >= max(4, len(days) // 12)
        if not named or (apart and (day.day == 1 or (day.weekday() == 0 and len(days) <= SHORT_CALENDAR))):
            named.append(day)
    return set(named)


def days_in_words(model: Model) -> str:
    """`distilled 2026-09-09 to 2026-09-19 (10 days, 2 expired) · …`, for print and for who cannot see the calendar."""
    parts = []
    for use in ("distilled", "trained", "held out"):
        days = [each for each in model.days if each.use == use]
        if days:
            span = f"{days[0].day}" if len(days) == 1 else f"{days[0].day} to {days[-1].day}"
            expired = sum(each.expired for each in days)
            gone = f", {expired} expired" if expired else ""
            parts.append(f"{use} {span} ({len(days)} day{'s' if len(days) > 1 else ''}{gone})")
    return " · ".join(parts)


def slice_name(of: Lift | Finding | HeadMetrics) -> str:
    return named(of.slice_by, of.slice) or of.head or "Primary, mean"
