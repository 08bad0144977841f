"""How often the gate errs, by simulation: `python -m mmoe.evaluate.characteristics --trials 1000`.

Every trial draws a pilot, asks the gate how many rows it plans, draws that many rows anew, and judges them. True AUCs
are known: scores are normal around a mean that depends on the label (binormal, AUC = Φ(d / (σ√2))). Users have many
rows, which share part of what both models get wrong.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from statistics import NormalDist

import numpy as np
import pyarrow as pa

from mmoe.data.score_set import ScoreSet, Slicing
from mmoe.evaluate.offline_gate import evaluate_gate
from mmoe.evaluate.verdict import GateResult
from mmoe.gate_config import PROFILES, GateConfig

NORMAL = NormalDist()
DAY, HEAD = date(2026, 9, 22), "click"
VIEW_TYPES = {"home_feed": 0.5, "related_pins": 0.3, "search": 0.2}
"""Slices and their shares of the rows."""
OF_ROWS = {"new_ad": {"false": 0.7, "true": 0.3}, "hour": {f"{hour:02d}": 1 / 24 for hour in range(24)}}
OF_USERS = {"new_user": {"false": 0.8, "true": 0.2}, "history_length": {f"q{part}": 0.2 for part in range(1, 6)}}
"""Declared columns, on which the challenger must only not be shown to be worse: 33 slices."""
AUC, RATE, ROWS_A_USER, PILOT, LARGE_PILOT = 0.75, 0.2, 8, 3000, 100_000
SHARED, OWN = (0.6, 0.8), (0.005, 0.01)
"""Standard deviations by user and by row: of what both models get wrong, and of what each does alone."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A true lift everywhere, and another one on one slice."""

    name: str
    profile: str
    lift: float
    on_slice: float | None = None
    spoilt: tuple[str, str] = ("view_type", "search")
    """Where on_slice holds."""
    declared: bool = False
    """Whether declared columns are judged as well, and planned for from a large pilot: from 25 positives an hour the
    gate asks for many times more rows than it needs, which would keep any promise."""
    wanted: str
    """Which verdict the promised share is of."""
    least: float = 0.0
    most: float = 1.0
    at_pilot: bool = False
    """Judge the pilot itself."""


SCENARIOS = (
    Scenario(name="A/A, few rows", profile="lift", lift=0, wanted="pass", most=0.05, at_pilot=True),
    Scenario(name="A/A", profile="lift", lift=0, wanted="pass", most=0.05),
    Scenario(name="+0.1%", profile="lift", lift=0.001, wanted="pass", least=0.8),
    Scenario(name="+0.1%, a slice -0.3%", profile="lift", lift=0.001, on_slice=-0.003, wanted="fail", least=0.95),
    Scenario(name="-0.1%, few rows", profile="parity", lift=-0.001, wanted="pass", most=0.05, at_pilot=True),
    Scenario(name="-0.1%", profile="parity", lift=-0.001, wanted="pass", most=0.05),
    Scenario(name="A/A", profile="parity", lift=0, wanted="pass", least=0.8),
    Scenario(name="A/A, a slice -0.3%", profile="parity", lift=0, on_slice=-0.003, wanted="fail", least=0.95),
    Scenario(name="-1%, few rows", profile="refresh", lift=-0.01, wanted="pass", most=0.05, at_pilot=True),
    Scenario(name="A/A", profile="refresh", lift=0, wanted="pass", least=0.8),
    Scenario(name="A/A, a slice -0.3%", profile="refresh", lift=0, on_slice=-0.003, wanted="fail", least=0.95),
    Scenario(name="A/A, declared slices", profile="lift", lift=0, wanted="pass", most=0.05, declared=True),
    Scenario(name="+0.1%, declared slices", profile="lift", lift=0.001, wanted="pass", least=0.8, declared=True),
    Scenario(
        name="+0.1%, an hour -0.3%",
        profile="lift",
        lift=0.001,
        on_slice=-0.003,
        spoilt=("hour", "07"),
        wanted="fail",
        least=0.95,
        declared=True,
    ),
    Scenario(
        name="+0.1%, new users -0.3%",
        profile="lift",
        lift=0.001,
        on_slice=-0.003,
        spoilt=("new_user", "true"),
        wanted="fail",
        least=0.95,
        declared=True,
    ),
    Scenario(name="A/A, declared slices", profile="parity", lift=0, wanted="pass", least=0.8, declared=True),
    Scenario(
        name="A/A, new ads -0.3%",
        profile="refresh",
        lift=0,
        on_slice=-0.003,
        spoilt=("new_ad", "true"),
        wanted="fail",
        least=0.95,
        declared=True,
    ),
)


def draw(rng: np.random.Generator, rows: int, scenario: Scenario) -> tuple[ScoreSet, ScoreSet]:
    """Champion and challenger on new rows."""
    users = max(2, rows // ROWS_A_USER)
    user = rng.integers(0, users, rows)
    labels = (rng.random(rows) < RATE).astype(np.float32)
    slices = {"view_type": chosen(rng, VIEW_TYPES, rows)}
    if scenario.declared:
        slices |= {name: chosen(rng, shares, rows) for name, shares in OF_ROWS.items()}
        slices |= {name: chosen(rng, shares, users).take(user) for name, shares in OF_USERS.items()}
    column, value = scenario.spoilt
    spoilt = slices[column].codes == slices[column].names.index(value)
    lifts = np.where(spoilt, scenario.lift if scenario.on_slice is None else scenario.on_slice, scenario.lift)
    shared = noise(rng, users, user, SHARED)
    deviation = float(np.sqrt(sum(part**2 for part in (*SHARED, *OWN))))
    sides = []
    for digest, lift in (("champion", np.zeros(1)), ("challenger", np.unique(lifts))):
        means = np.array([deviation * np.sqrt(2) * NORMAL.inv_cdf(AUC * (1 + each)) for each in lift.tolist()])
        mean = means[0] if digest == "champion" else means[np.searchsorted(lift, lifts)]
        sides.append(
            ScoreSet(
                days=(DAY,), model_digest=digest, heads=(HEAD,), example_id=pa.array(np.arange(rows)), group=user,
                slices=slices,
                logits={HEAD: (mean * (labels - 0.5) + shared + noise(rng, users, user, OWN) - 2).astype(np.float32)},
                labels={HEAD: labels},
            )
        )  # fmt: skip
    return sides[0], sides[1]


def chosen(rng: np.random.Generator, shares: dict[str, float], size: int) -> Slicing:
    codes = rng.choice(len(shares), size, p=tuple(shares.values()))
    return Slicing(names=tuple(shares), codes=codes.astype(np.uint8))


def noise(
    rng: np.random.Generator, users: int, user: np.typing.NDArray[np.int64], sizes: tuple[float, float]
) -> np.typing.NDArray[np.float64]:
    by_user: np.typing.NDArray[np.float64] = rng.normal(0, sizes[0], users)
    return by_user[user] + rng.normal(0, sizes[1], len(user))


def trial(seed: int, scenario: Scenario) -> GateResult:
    rng = np.random.default_rng(seed)
    found = judge(*draw(rng, LARGE_PILOT if scenario.declared else PILOT, scenario), scenario)
    if scenario.at_pilot or found.rows_planned is None:
        return found
    return judge(*draw(rng, found.rows_planned, scenario), scenario)


def judge(champion: ScoreSet, challenger: ScoreSet, scenario: Scenario) -> GateResult:
    return evaluate_gate(
        champion, challenger, profile_name=scenario.profile, config=GateConfig(profiles=PROFILES), heads=[HEAD],
        primary=[HEAD], expected={name: slicing.names for name, slicing in champion.slices.items()},
        watched=tuple({**OF_ROWS, **OF_USERS}) if scenario.declared else (),
    )  # fmt: skip


def measure(scenario: Scenario, trials: int, seed: int = 0, workers: int = 1) -> dict[str, object]:
    """Shares of verdicts over the trials, the 95% interval of the wanted one, and whether the promise holds."""
    seeds = range(seed, seed + trials)
    if workers == 1:
        results = [trial(number, scenario) for number in seeds]
    else:
        with ProcessPoolExecutor(workers) as pool:
            results = list(pool.map(partial(trial, scenario=scenario), seeds, chunksize=50))
    words: Counter[str] = Counter(result.verdict for result in results)
    if scenario.on_slice is not None:
        words["fail"] = sum(names_slice(result, scenario) for result in results)
    share = words[scenario.wanted] / trials
    low, high = wilson(words[scenario.wanted], trials)
    return {
        "profile": scenario.profile,
        "truth": scenario.name,
        "rows": int(np.median([result.rows for result in results])),
        **{word: round(words[word] / trials, 4) for word in ("pass", "inconclusive", "fail")},
        "interval": f"{low:.3f} to {high:.3f}",
        "promise": f"{scenario.wanted} {f'>= {scenario.least}' if scenario.least else f'<= {scenario.most}'}",
        "holds": scenario.least <= share <= scenario.most,
    }


def wilson(found: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927), which stays within 0 and 1."""
    z, share = NORMAL.inv_cdf(0.5 + confidence / 2), found / trials
    middle, room = share + z**2 / (2 * trials), z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return float((middle - room) / (1 + z**2 / trials)), float((middle + room) / (1 + z**2 / trials))


def names_slice(result: GateResult, scenario: Scenario) -> bool:
    """Whether the slice that is worse fails by name."""
    return any(
        finding.verdict == "fail" and finding.rule == "slice" and (finding.slice_by, finding.slice) == scenario.spoilt
        for finding in result.findings
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--declared", action="store_true", help="Only the scenarios with declared slices.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args(arguments)
    found = []
    for scenario in (each for each in SCENARIOS if each.declared or not asked.declared):
        found.append(measure(scenario, asked.trials, asked.seed, asked.workers))
        print("  ".join(f"{value!s:>12}" for value in found[-1].values()), flush=True)  # noqa: T201
    print(json.dumps({"trials": asked.trials, "scenarios": found}))  # noqa: T201


if __name__ == "__main__":
    main()
