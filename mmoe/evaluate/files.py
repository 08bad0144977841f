"""The gate on score sets that lie in files: no registry, no lake, no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmoe.data.score_files import read_score_files
from mmoe.data.score_set import ScoreSet
from mmoe.errors import NoScoresError
from mmoe.evaluate.measure import all_metrics
from mmoe.evaluate.offline_gate import chosen_profile, evaluate_gate
from mmoe.evaluate.verdict import Finding, GateResult
from mmoe.gate_config import GateConfig


def gate_files(
    champion: Sequence[Path],
    challenger: Sequence[Path],
    *,
    profile: str = "lift",
    config: GateConfig | None = None,
    slices: Mapping[str, Sequence[str]] | None = None,
    watched: Mapping[str, Sequence[str]] | None = None,
    cluster: str | None = None,
    primary: Sequence[str] = (),
    guardrail: Sequence[str] = (),
) -> GateResult:
    """Judge one model's score sets against another's, with their metrics.

    Files or folders a side. slices: column -> values that must occur (none named: those found); None: those of
    config.slices that are there. watched: the same of columns on which the challenger must only not be shown to be
    worse. cluster: column whose rows may depend on each other, by default group_id where it is
    there. primary: heads to be proved, by default all but the guardrails. A champion without files or rows fails, with
    a reason per rule. Raises EvaluationError.
    """
    config = config or GateConfig()
    chosen_profile(config, profile)
    names = tuple(slices if slices is not None else config.slices)
    columns = (*names, *(watched or {}))
    after = read_score_files(challenger, cluster=cluster, slices=columns)
    try:
        before = read_score_files(champion, cluster=cluster, slices=columns)
    except NoScoresError as error:
        heads = tuple(dict.fromkeys((*after.heads, *primary, *guardrail)))
        proved = primary or [head for head in heads if head not in guardrail]
        return without_baseline(after, str(error), profile, config, heads, proved)
    if slices is None:
        names = tuple(name for name in names if name in before.slices)
    heads = tuple(dict.fromkeys((*before.heads, *after.heads, *primary, *guardrail)))
    return evaluate_gate(
        before,
        after,
        profile_name=profile,
        config=config.model_copy(update={"slices": names}),
        heads=heads,
        primary=primary or [head for head in heads if head not in guardrail],
        expected={**(slices or {}), **(watched or {})},
        watched=tuple(watched or {}),
        with_metrics=True,
    )


def without_baseline(
    challenger: ScoreSet, error: str, profile_name: str, config: GateConfig, heads: Sequence[str],
    primary: Sequence[str],
) -> GateResult:  # fmt: skip
    """Fails closed: a challenger that there is nothing to compare with has proved nothing."""
    profile = config.profiles[profile_name]
    compared: list[tuple[str, str | None]] = [("lift", None)]
    for head in heads:
        compared += [("head" if head in primary else "guardrail", head), ("calibration", head), ("score shift", head)]
    missing = Finding(rule="baseline present", verdict="fail", reason=f"the champion has no scores: {error}")
    findings = [
        Finding(rule=rule, head=head, verdict="fail", reason="there is no champion's score to compare with")
        for rule, head in compared
    ]
    return GateResult(
        verdict="fail", profile=profile_name, confidence=config.confidence, min_lift=profile.min_lift,
        slice_margin=profile.slice_margin, days=challenger.days, rows=0, champion_digest="none",
        challenger_digest=challenger.model_digest, findings=(missing, *findings), lifts=(), calibration=(),
        metrics={"challenger": tuple(all_metrics(challenger))},
    )  # fmt: skip
