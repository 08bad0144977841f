"""The release gate: challenger against champion on the same held-out rows, by rules that params.yaml declares.

Overall, each primary head must reach the profile's minimum lift; on each view type it must not fall below the margin.
Guardrail heads must only not be shown to be worse. What cannot be evaluated fails closed.
"""

from collections.abc import Collection, Sequence
from datetime import date

import numpy as np

from mmoe.config import GateConfig
from mmoe.data.scores import ScoreSet
from mmoe.errors import EvaluationError
from mmoe.evaluate.comparison import Comparison, all_lifts, refuse_other_rows
from mmoe.evaluate.metrics import calibration_ratio
from mmoe.evaluate.verdict import Calibration, Finding, GateResult, Lift, Word, overall


def evaluate_gate(
    champion: ScoreSet,
    challenger: ScoreSet,
    *,
    profile_name: str,
    config: GateConfig,
    heads: Sequence[str],
    primary: Sequence[str],
    view_types: Sequence[str],
    trained_days: Collection[date],
) -> GateResult:
    """Judge the challenger. `trained_days`: what challenger, champion and teacher have learned from.

    Raises EvaluationError when the score sets are not of the same rows, or the profile does not exist.
    """
    if profile_name not in config.profiles:
        raise EvaluationError(f"profile={profile_name!r}: not in gate.profiles ({', '.join(config.profiles)}).")
    refuse_other_rows(champion, challenger)
    profile = config.profiles[profile_name]
    comparison = Comparison(
        champion=champion, challenger=challenger, config=config, profile=profile, primary=tuple(primary),
        cluster=champion.group,
    )  # fmt: skip
    usable = [head for head in heads if head in champion.heads and head in challenger.heads]
    lifts = all_lifts(comparison, usable)
    calibration = calibrations(comparison, usable)
    findings = (
        *unseen_days(champion.days, trained_days),
        *missing_heads(heads, usable, comparison.primary),
        *missing_view_types(view_types, champion.view_type_names),
        *(judge_lift(comparison, lift) for lift in lifts if is_ruled(lift)),
        *(judge_calibration(comparison, each) for each in calibration),
    )
    return GateResult(
        verdict=overall(findings),
        profile=profile_name,
        confidence=config.confidence,
        min_lift=profile.min_lift,
        slice_margin=profile.slice_margin,
        days=champion.days,
        rows=champion.rows,
        champion_digest=champion.model_digest,
        challenger_digest=challenger.model_digest,
        findings=findings,
        lifts=lifts,
        calibration=calibration,
    )


def unseen_days(days: Sequence[date], trained: Collection[date]) -> list[Finding]:
    spoilt = sorted(set(days) & set(trained))
    if spoilt:
        reason = f"trained on the held-out {', '.join(map(str, spoilt))}: nothing can be concluded from those rows"
        return [Finding(rule="held-out days unseen", verdict="fail", reason=reason)]
    reason = f"neither model has learned the held-out rows of {', '.join(map(str, days))}"
    return [Finding(rule="held-out days unseen", verdict="pass", reason=reason)]


def missing_heads(heads: Sequence[str], usable: Sequence[str], primary: Sequence[str]) -> list[Finding]:
    return [
        Finding(rule="head present", head=head, verdict="fail", reason="a model has no scores for this head")
        for head in heads
        if head not in usable
    ] + [
        Finding(rule="head present", head=head, verdict="fail", reason="a primary head is not among the heads")
        for head in primary
        if head not in heads
    ]


def missing_view_types(expected: Sequence[str], present: Sequence[str]) -> list[Finding]:
    reason = "no held-out row is of this view type, so nothing is known about it"
    return [
        Finding(rule="view type present", view_type=name, verdict="inconclusive", reason=reason)
        for name in expected
        if name not in present
    ]


def is_ruled(lift: Lift) -> bool:
    """The overall mean is the headline, not a rule of its own: each primary head must stand by itself."""
    return lift.head is not None


def judge_lift(comparison: Comparison, lift: Lift) -> Finding:
    if lift.head not in comparison.primary:
        return judge_guardrail(comparison, lift)
    if lift.view_type is None:
        return judge_headline(comparison, lift)
    return judge_slice(comparison, lift)


def judge_headline(comparison: Comparison, lift: Lift) -> Finding:
    """pass: the lift reaches the threshold and its interval excludes no lift. fail: it lies below the threshold."""
    least = comparison.profile.min_lift
    if lift.lift is None or lift.low is None or lift.high is None:
        return found("lift", lift, "fail", f"too few labels to evaluate ({lift.positives} positives of {lift.rows})")
    shown = in_words(lift)
    if least > 0 and lift.lift >= least and lift.low > 0:
        return found("lift", lift, "pass", f"{shown} reaches {least:+.2%} and is significantly above zero")
    if least <= 0 and (lift.low > least or (not comparison.profile.prove_slices and lift.high >= least)):
        return found("lift", lift, "pass", f"{shown} is not worse than {least:+.2%}")
    if lift.high < least:
        return found("lift", lift, "fail", f"{shown} lies below {least:+.2%}")
    needed = f"about {lift.rows_needed:,} rows would tell" if lift.rows_needed else "no number of rows may tell"
    return found("lift", lift, "inconclusive", f"{shown} does not settle {least:+.2%}; {needed}")


def judge_slice(comparison: Comparison, lift: Lift) -> Finding:
    """pass: above the margin (proved, or not shown to be below, as the profile says). fail: shown to be below it."""
    margin = comparison.profile.slice_margin
    if lift.lift is None or lift.low is None or lift.high is None:
        return too_small(comparison, lift)
    shown = in_words(lift)
    if lift.high < margin:
        return found("slice", lift, "fail", f"{shown} is worse than {margin:+.2%}")
    if lift.low > margin or not comparison.profile.prove_slices:
        return found("slice", lift, "pass", f"{shown} is not worse than {margin:+.2%}")
    needed = f"about {lift.rows_needed:,} rows would tell" if lift.rows_needed else "no number of rows may tell"
    return found("slice", lift, "inconclusive", f"{shown} could be worse than {margin:+.2%}; {needed}")


def too_small(comparison: Comparison, lift: Lift) -> Finding:
    """Hardly any labels: proves nothing, which is not enough where the profile asks for proof."""
    least = comparison.config.min_positives
    reason = f"{lift.positives} positives of {lift.rows} rows: fewer than {least} of a class prove nothing"
    word: Word = "inconclusive" if comparison.profile.prove_slices else "pass"
    return found("slice too small", lift, word, reason)


def judge_guardrail(comparison: Comparison, lift: Lift) -> Finding:
    margin = comparison.profile.slice_margin
    if lift.lift is None or lift.high is None:
        reason = f"{lift.positives} positives of {lift.rows} rows: reported, not judged"
        return found("guardrail", lift, "pass", reason)
    word: Word = "fail" if lift.high < margin else "pass"
    return found("guardrail", lift, word, f"{in_words(lift)} is {'' if word == 'fail' else 'not shown to be '}"
                 f"worse than {margin:+.2%}")  # fmt: skip


def calibrations(comparison: Comparison, heads: Sequence[str]) -> tuple[Calibration, ...]:
    ratios = []
    for head in heads:
        labels = comparison.champion.labels[head]
        final = ~np.isnan(labels)
        if (labels[final] == 1).sum() >= comparison.config.min_positives:
            before, after = (
                calibration_ratio(labels[final], scores.logits[head][final])
                for scores in (comparison.champion, comparison.challenger)
            )
            ratios.append(Calibration(head=head, champion=before, challenger=after))
    return tuple(ratios)


def judge_calibration(comparison: Comparison, calibration: Calibration) -> Finding:
    """How much further than the champion's the challenger's calibration ratio is from 1, in logarithms."""
    most = comparison.profile.max_calibration_shift
    growth = abs(np.log(calibration.challenger)) - abs(np.log(calibration.champion))
    word: Word = "fail" if growth > most else "pass"
    reason = (
        f"predicted over observed rate {calibration.challenger:.3f} (champion {calibration.champion:.3f}); "
        f"{'more' if word == 'fail' else 'not more'} than {most:.0%} further from 1"
    )
    return Finding(rule="calibration", head=calibration.head, verdict=word, reason=reason)


def in_words(lift: Lift) -> str:
    return f"{lift.lift:+.2%} [{lift.low:+.2%}, {lift.high:+.2%}]"


def found(rule: str, lift: Lift, verdict: Word, reason: str) -> Finding:
    return Finding(rule=rule, head=lift.head, view_type=lift.view_type, verdict=verdict, reason=reason)
