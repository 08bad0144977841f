"""A suite asked of rows, as a whole and by view type: what held, what did not, and what could not be judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmoe.lake.examination import Check
from mmoe.quality.blocks import Blocks, Frame
from mmoe.quality.bounds import Parameters
from mmoe.quality.judge import Judged, Rule, judge
from mmoe.quality.rules import PER_VIEW_TYPE, PSI, SOURCES

MOST_COLUMNS = 8
MEAN = "expect_column_mean_to_be_between"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Rows that are examined together."""

    view_type: str | None
    """None: all rows."""
    rows: Blocks
    parameters: Parameters
    binned: Frame | None = None
    """A column of counts for each feature: what drift is judged on."""
    sources: Frame | None = None
    """A row for each column of the raw files, with its type: what schema drift is judged on."""
    unknown: frozenset[str] = frozenset()
    """Labels of which none is final: they have no mean."""


def examine(suite: dict[str, Any], subjects: Sequence[Subject]) -> tuple[Check, ...]:
    """Every expectation of the suite on all rows, and where it says so on each view type."""
    return tuple(check for subject in subjects for check in _examine(suite["expectations"], subject))


def _examine(rules: Sequence[Rule], subject: Subject) -> list[Check]:
    asked = [rule for rule in rules if subject.view_type is None or rule.get("meta", {}).get(PER_VIEW_TYPE)]
    filled = [_filled(rule, subject.parameters) for rule in asked]
    can = [_can_be_judged(rule, subject) for rule in filled]
    answers: dict[int, Judged] = {}
    special = {PSI: subject.binned, **{name: subject.sources for name, _, _ in SOURCES}}
    for shown in (subject.rows, subject.binned, subject.sources):
        numbers = [n for n, rule in enumerate(filled) if can[n] and special.get(rule["type"], subject.rows) is shown]
        if shown is not None:
            answers |= zip(numbers, judge([filled[n] for n in numbers], shown), strict=True)
    return [_check(rule, subject.view_type, answers.get(number)) for number, rule in enumerate(filled)]


def _filled(rule: Rule, parameters: Parameters) -> Rule:
    """With its parameters' values; a parameter that the day has none for stays as it is."""
    kwargs = {
        name: parameters.get(value["$PARAMETER"], value) if isinstance(value, dict) and "$PARAMETER" in value else value
        for name, value in rule["kwargs"].items()
    }
    return {**rule, "kwargs": kwargs}


def _can_be_judged(rule: Rule, subject: Subject) -> bool:
    if any(isinstance(value, dict) and "$PARAMETER" in value for value in rule["kwargs"].values()):
        return False
    return not (rule["type"] == MEAN and rule["kwargs"]["column"] in subject.unknown)


def _check(rule: Rule, view_type: str | None, judged: Judged | None) -> Check:
    kwargs = rule["kwargs"]
    return Check(
        expectation=rule["type"].removeprefix("expect_"),
        column=kwargs.get("column") or kwargs.get("column_B"),
        view_type=view_type,
        severity=rule["severity"],
        outcome="not judged" if judged is None else "held" if judged.success else "failed",
        expected="" if judged is None else _expected(kwargs),
        observed="" if judged is None else _observed(judged),
    )


def _expected(kwargs: dict[str, Any]) -> str:
    low, high, mostly = kwargs.get("min_value"), kwargs.get("max_value"), kwargs.get("mostly")
    said = []
    if low is not None and high is not None:
        said.append(f"{_short(low)} to {_short(high)}")
    elif low is not None or high is not None:
        said.append(f"at least {_short(low)}" if high is None else f"at most {_short(high)}")
    if isinstance(kwargs.get("value_set"), list):
        said.append("one of " + ", ".join(map(str, kwargs["value_set"])))
    if mostly is not None:
        said.append(f"in {mostly:.0%} of the rows")
    return ", ".join(said)


def _short(bound: Any) -> str:
    return f"{bound:.4g}" if isinstance(bound, float) else str(bound)


def _observed(judged: Judged) -> str:
    if not judged.evaluated:
        return "it could not be evaluated on this column"
    if judged.columns:
        more = f" and {len(judged.columns) - MOST_COLUMNS} more" if len(judged.columns) > MOST_COLUMNS else ""
        return ", ".join(judged.columns[:MOST_COLUMNS]) + more
    if judged.unexpected is not None:
        return f"{judged.unexpected} of {judged.rows} rows"
    if judged.observed is None:
        return ""
    return f"{judged.observed:.0f}" if judged.observed.is_integer() else f"{judged.observed:.4g}"
