"""The gate on score sets that lie in files: no registry, no lake, no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmoe.config import GateConfig
from mmoe.data.score_files import read_score_files
from mmoe.evaluate.offline_gate import chosen_profile, evaluate_gate
from mmoe.evaluate.verdict import GateResult


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
    there. primary: heads to be proved, by default all but the guardrails. Raises EvaluationError.
    """
    config = config or GateConfig()
    chosen_profile(config, profile)
    names = tuple(slices if slices is not None else config.slices)
    columns = (*names, *(watched or {}))
    before, after = (read_score_files(side, cluster=cluster, slices=columns) for side in (champion, challenger))
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
