# ruff: noqa: N803  (shapes in names)
"""A whole log as files, day by day, and truth.json beside it: aggregates only, written last."""

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from mmoe.errors import ConfigError
from mmoe.parsing import Frozen
from mmoe.simulate.bayes import roc_auc
from mmoe.simulate.config import HEADS, VIEW_TYPES, Faults, SimulatorConfig
from mmoe.simulate.day import SimulatedDay, simulate_day
from mmoe.simulate.faults import break_values

TRUTH = "truth.json"
PART, REPEAT = "part-0.parquet", "part-0-again.parquet"
LATE = "late"


class SliceTruth(Frozen):
    """One head on one day, on a view type or on all."""

    rows: int
    positives: int
    bayes_auc: float | None
    """ROC-AUC of the true probability against the drawn label; None without both classes."""


class DayTruth(Frozen):
    day: date
    rows: int
    heads: dict[str, SliceTruth]
    view_types: dict[str, dict[str, SliceTruth]]
    """By view type, then head."""


class LogSummary(Frozen):
    """What truth.json holds. A broken or a late day counts as it was before it went wrong."""

    config: SimulatorConfig
    faults: Faults
    days: tuple[DayTruth, ...] = Field(strict=False)

    @property
    def rows(self) -> int:
        return sum(day.rows for day in self.days)

    @property
    def rates(self) -> dict[str, float]:
        """Share of positives of each head over the log."""
        return {head: sum(day.heads[head].positives for day in self.days) / self.rows for head in HEADS}

    def bayes_auc(self, head: str, days: tuple[date, ...] = (), view_type: str | None = None) -> float | None:
        """Mean over `days` (all when empty) of a head's Bayes AUC; None if no day has one."""
        chosen = [day for day in self.days if not days or day.day in days]
        slices = [(day.heads if view_type is None else day.view_types[view_type])[head] for day in chosen]
        known = [found.bayes_auc for found in slices if found.bayes_auc is not None]
        return sum(known) / len(known) if known else None


def write_log(config: SimulatorConfig, folder: Path, *, faults: Faults) -> LogSummary:
    """Write FOLDER/dt=D/part-0.parquet for every day (the late one under FOLDER/late), then FOLDER/truth.json.

    Runs again to the same bytes; the log is whole when truth.json is there. Raises ConfigError for a fault on a day
    outside the log, two faults on one day, or a folder that holds other files.
    """
    parts = _parts(config, faults)
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_strangers(folder, parts, faults)
    (folder / TRUTH).unlink(missing_ok=True)
    days = []
    for day, part in parts.items():
        simulated = simulate_day(config, day)
        table = break_values(config, simulated) if day == faults.broken else simulated.table
        _write_table(table, folder / part)
        if day == faults.repeated:
            _copy(folder / part, (folder / part).with_name(REPEAT))
        days.append(_day_truth(simulated))
    summary = LogSummary(config=config, faults=faults, days=tuple(days))
    aside = folder / f".{TRUTH}.tmp"
    aside.write_text(summary.model_dump_json(indent=1) + "\n")
    aside.replace(folder / TRUTH)
    return summary


def read_truth(folder: Path) -> LogSummary:
    """What `write_log` left in FOLDER/truth.json. Raises ConfigError if it is absent or not such a file."""
    path = folder / TRUTH
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; it is written when a simulated log is complete. Simulate again.")
    try:
        return LogSummary.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{path}: not a simulated log's truth; simulate again.") from error


def _parts(config: SimulatorConfig, faults: Faults) -> dict[date, Path]:
    """Each day's file below the folder."""
    wrong = [day for day in (faults.repeated, faults.broken, faults.late) if day is not None]
    for day in wrong:
        config.index(day)
    if len(set(wrong)) < len(wrong):
        raise ConfigError(f"faults={', '.join(map(str, wrong))}: one day has two faults; give each a day of its own.")
    return {
        day: Path(LATE if day == faults.late else "") / f"dt={day.isoformat()}" / PART for day in config.calendar
    }  # fmt: skip


def _refuse_strangers(folder: Path, parts: dict[date, Path], faults: Faults) -> None:
    expected = {folder / TRUTH, *(folder / part for part in parts.values())}
    if faults.repeated is not None:
        expected.add((folder / parts[faults.repeated]).with_name(REPEAT))
    strangers = sorted(path for path in folder.rglob("*") if path.is_file() and path not in expected)
    strangers = [path for path in strangers if not path.name.startswith(".")]
    if strangers:
        name = strangers[0].relative_to(folder)
        raise ConfigError(f"{folder}: holds {len(strangers)} files of another log ({name}, …); give an empty folder.")


def _write_table(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.tmp")
    parquet.write_table(table, aside, compression="zstd", row_group_size=65_536)
    aside.replace(path)


def _copy(source: Path, target: Path) -> None:
    aside = target.with_name(f".{target.name}.tmp")
    shutil.copyfile(source, aside)
    aside.replace(target)


def _day_truth(simulated: SimulatedDay) -> DayTruth:
    everywhere = simulated.view_N >= 0
    return DayTruth(
        day=simulated.day,
        rows=simulated.table.num_rows,
        heads={head: _slice(simulated, head, everywhere) for head in HEADS},
        view_types={
            name: {head: _slice(simulated, head, simulated.view_N == index) for head in HEADS}
            for index, name in enumerate(VIEW_TYPES)
        },
    )


def _slice(simulated: SimulatedDay, head: str, rows_N: NDArray[np.bool_]) -> SliceTruth:
    label = simulated.labels[head][rows_N]
    auc = roc_auc(simulated.truth[head][rows_N], label)
    return SliceTruth(rows=len(label), positives=int(label.sum()), bayes_auc=auc)
