import json
import subprocess
import sys
from datetime import date

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mmoe.errors import ConfigError
from mmoe.lake.ingest import stage_day
from mmoe.lake.landing import deliver, find_days
from mmoe.lake.store import open_store
from mmoe.quality import validate
from mmoe.schema import load_schema
from mmoe.simulate import HEADS, VIEW_TYPES, Faults, SimulatorConfig, read_truth, simulate_day, write_log
from mmoe.simulate.bayes import roc_auc

CONFIG = SimulatorConfig(seed=3, start=date(2026, 9, 1), days=5, rows_per_day=2_000)
DAYS = CONFIG.calendar
FAULTS = Faults(repeated=DAYS[1], broken=DAYS[2], late=DAYS[3])

KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
from mmoe.simulate import Faults, SimulatorConfig, write_log
config = SimulatorConfig(seed=3, start=date(2026, 9, 1), days=5, rows_per_day=2_000)
replace, left = Path.replace, [3]
def replace_or_die(self, target):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = replace_or_die
days = config.calendar
write_log(config, Path(sys.argv[1]), faults=Faults(repeated=days[1], broken=days[2], late=days[3]))
"""


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    write_log(CONFIG, folder, faults=FAULTS)
    return folder


def test_a_log_has_one_file_a_day_and_its_planted_deliveries(log):
    assert set(content(log)) == {
        "dt=2026-09-01/part-0.parquet",
        "dt=2026-09-02/part-0.parquet",
        "dt=2026-09-02/part-0-again.parquet",
        "dt=2026-09-03/part-0.parquet",
        "late/dt=2026-09-04/part-0.parquet",
        "dt=2026-09-05/part-0.parquet",
        "truth.json",
    }
    assert content(log)["dt=2026-09-02/part-0.parquet"] == content(log)["dt=2026-09-02/part-0-again.parquet"]


def test_a_file_holds_exactly_its_simulated_day(log):
    assert pq.read_table(log / "dt=2026-09-01/part-0.parquet").equals(simulate_day(CONFIG, DAYS[0]).table)
    assert pq.read_table(log / "late/dt=2026-09-04/part-0.parquet").equals(simulate_day(CONFIG, DAYS[3]).table)


def test_writing_again_gives_the_same_bytes(log):
    before = content(log)
    write_log(CONFIG, log, faults=FAULTS)
    assert content(log) == before


def test_a_log_killed_in_the_middle_has_no_truth_and_is_made_whole_by_a_second_run(log, tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert 0 < len(content(tmp_path)) < len(content(log))
    with pytest.raises(ConfigError, match="written when a simulated log is complete"):
        read_truth(tmp_path)
    write_log(CONFIG, tmp_path, faults=FAULTS)
    assert content(tmp_path) == content(log)


def test_the_truth_file_gives_counts_and_bayes_auc_by_day_head_and_view_type(log):
    truth = read_truth(log)
    assert (truth.config, truth.faults) == (CONFIG, FAULTS)
    assert truth.rows == 10_000
    for day, summary in zip(DAYS, truth.days, strict=True):
        simulated = simulate_day(CONFIG, day)
        for head in HEADS:
            label = simulated.labels[head]
            assert summary.heads[head].positives == label.sum()
            assert summary.heads[head].bayes_auc == roc_auc(simulated.truth[head], label)
            parts = [summary.view_types[view][head] for view in VIEW_TYPES]
            assert sum(part.rows for part in parts) == summary.rows == 2_000
            assert sum(part.positives for part in parts) == label.sum()
            here = simulated.view_N == 1
            assert parts[1].bayes_auc == roc_auc(simulated.truth[head][here], label[here])
    clicks = [day.heads["click"] for day in truth.days]
    assert truth.rates["click"] == sum(click.positives for click in clicks) / 10_000
    assert truth.bayes_auc("click") == pytest.approx(np.mean([click.bayes_auc for click in clicks]))
    assert truth.bayes_auc("click", days=(DAYS[2],)) == clicks[2].bayes_auc
    searched = truth.days[0].view_types["search"]["save"].bayes_auc
    assert truth.bayes_auc("save", days=(DAYS[0],), view_type="search") == searched


def test_the_truth_file_holds_no_row(log):
    text = (log / "truth.json").read_text()
    assert len(text) < 5_000 * len(DAYS)
    assert not any(event in text for event in simulate_day(CONFIG, DAYS[0]).table["event_id"].to_pylist()[:50])


def test_a_damaged_truth_file_is_refused(tmp_path):
    (tmp_path / "truth.json").write_text(json.dumps({"days": 3}))
    with pytest.raises(ConfigError, match="not a simulated log's truth"):
        read_truth(tmp_path)


def test_the_broken_day_has_every_planted_kind_of_broken_value_and_nothing_else(log):
    clean, broken = simulate_day(CONFIG, DAYS[2]).table, pq.read_table(log / "dt=2026-09-03/part-0.parquet")
    assert broken.schema.equals(clean.schema)
    changed = {name for name in clean.column_names if not clean[name].equals(broken[name])}
    assert changed == {"event_id", "ad_id", "view_type", "creative_quality", "click"}
    assert broken["event_id"].null_count > 0
    assert broken["ad_id"].null_count > 0
    assert pc.max(broken["click"]).as_py() == 2
    assert "unknown_surface" in broken["view_type"].to_pylist()
    assert not all(pc.is_finite(broken["creative_quality"]).to_pylist())
    rows = sum(
        1 for one, two in zip(clean.to_pylist(), broken.to_pylist(), strict=True) if one != two
    )  # fmt: skip
    assert 0.02 * 2_000 < rows < 0.08 * 2_000


def test_the_lake_takes_the_log_as_it_was_meant(log, tmp_path):
    """The repeated day counts once, the broken one fails, the late one is missing until it is delivered."""
    schema, store, landing = load_schema("ads"), open_store(str(tmp_path / "lake")), tmp_path / "landing"
    assert find_days(log, schema) == [day for day in DAYS if day != FAULTS.late]
    assert FAULTS.late not in deliver(log, schema, landing).days
    assert list(deliver(log / "late", schema, landing).days) == [FAULTS.late]
    staged = {day: stage_day(store, landing, schema, day) for day in DAYS}
    assert [staged[day].rows for day in DAYS if day != FAULTS.broken] == [2_000] * 4
    assert staged[DAYS[1]].counts["repeated_files"] == 1
    assert staged[DAYS[1]].counts["duplicates"] == 2_000
    assert staged[DAYS[4]].labels["save"].nulls == 2_000
    statuses = [validate(store, staged[day], schema, []).status for day in (DAYS[0], DAYS[2])]
    assert statuses == ["passed", "failed"]


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    stranger = tmp_path / "dt=2026-10-01" / "part-0.parquet"
    stranger.parent.mkdir()
    stranger.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"holds 1 files of another log \(dt=2026-10-01/part-0.parquet"):
        write_log(CONFIG, tmp_path, faults=Faults())
    assert content(tmp_path) == {"dt=2026-10-01/part-0.parquet": b"mine"}


def test_faults_outside_the_log_or_two_on_a_day_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="day=2027-01-01: not in the log"):
        write_log(CONFIG, tmp_path, faults=Faults(late=date(2027, 1, 1)))
    with pytest.raises(ConfigError, match="one day has two faults"):
        write_log(CONFIG, tmp_path, faults=Faults(late=DAYS[0], broken=DAYS[0]))
    assert content(tmp_path) == {}
