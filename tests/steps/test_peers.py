"""mmoe.steps.peers: the peers' workload trained on by ours, and measured beside theirs."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmoe.data.benchmark import IDS
from mmoe.errors import ConfigError, MmoeError
from mmoe.steps.peers import converted, judged, peer_process, row, train_rate


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workload like the peers', in small: clicks depend on one id and one number."""
    (tmp_path / "data").mkdir()
    for name, rows, seed in (("train_all", 12_000, 1), ("test", 3_000, 2)):
        rng = np.random.default_rng(seed)
        columns = {f"c{index}": rng.integers(0, min(size, 50), rows).astype(np.int32) for index, size in enumerate(IDS)}
        columns |= {f"d{index}": rng.standard_normal(rows).astype(np.float32) for index in range(10)}
        click = rng.random(rows) < 1 / (1 + np.exp(-(columns["c0"] % 2 * 4 - 2 + columns["d0"])))
        columns |= {"click": click.astype(np.float32), "gclick": (click & (rng.random(rows) < 0.5)).astype(np.float32)}
        pq.write_table(pa.table(columns), tmp_path / "data" / f"{name}.parquet")
    return tmp_path


@pytest.mark.parametrize("model", ["dcnv2", "mmoe"])
def test_a_training_on_the_workload_learns_and_tells_speed_and_memory(root, model) -> None:
    rate = train_rate(root, model, threads=1)
    assert rate.auc > 0.6 and rate.ex_s > 0 and rate.peak_mb > 100 and rate.busy > 0
    macs = {"dcnv2": 3 * 490**2 + 490 * 256 + 256 * 128 + (490 + 128) * 64 + 64}
    macs["mmoe"] = 4 * (490 * 256 + 256 * 128) + 2 * 490 * 4 + 2 * 4 * 128 + 2 * (128 * 64 + 64)
    assert rate.gflop == pytest.approx(6e-9 * macs[model], rel=0.001)


def test_the_converted_files_hold_the_workloads_values(root, tmp_path) -> None:
    source = pq.read_table(root / "data" / "test.parquet")
    partition = converted(root / "data" / "test.parquet", tmp_path)
    table = pq.read_table(partition.files[0])
    assert partition.rows == 3000
    for name in source.column_names:
        np.testing.assert_array_equal(table[name].to_numpy(), source[name].to_numpy())


def test_a_folder_without_the_workload_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no such file; give the folder of the peers' workload by PEERS_ROOT"):
        train_rate(tmp_path, "dcnv2", threads=1)


def test_a_peer_is_run_by_the_workloads_script_and_a_failing_one_is_named(tmp_path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    script = "import json, os, sys\nif sys.argv[1] == 'broken': sys.exit(1)\n"
    script += "print('noise')\nprint(json.dumps([*sys.argv[1:], os.environ['THREADS'], os.environ['PEERS_ROOT']]))\n"
    (tmp_path / "run.py").write_text(script.replace("json.dumps(", "json.dumps(dict(said=").replace("]))", "])))"))
    said = peer_process(tmp_path, "rechub", "mmoe", 1)["said"]
    assert said == ["rechub", "mmoe", "train", "1", str(tmp_path)]
    with pytest.raises(MmoeError, match="broken dcnv2 train: gave no result"):
        peer_process(tmp_path, "broken", "dcnv2", 1)


def test_ratios_are_medians_of_pairs_over_the_fastest_peer_of_each_round() -> None:
    def runs(*rates: float, auc: float, peak: float) -> list[dict[str, float]]:
        return [{"ex_s": rate, "auc": auc, "peak_mb": 2 * peak, "peak_mb_train": peak} for rate in rates]

    ours = [{"ex_s": rate, "auc": 0.67, "peak_mb": 400.0} for rate in (30.0, 20.0, 60.0)]
    by_name = {
        "ours": ours,
        "fuxictr": runs(10, 5, 10, auc=0.66, peak=1000),
        "rechub": runs(5, 10, 12, auc=0.65, peak=900),
    }
    empty = {"ratio": {}, "auc_lead": {}, "peak_ratio_fuxictr": {}, "failed": {}}
    result = judged(empty, "dcnv2", by_name)
    assert result["ratio"] == {"dcnv2": 3.0} and result["peak_ratio_fuxictr"] == {"dcnv2": 0.4}
    assert result["auc_lead"]["dcnv2"] == pytest.approx(0.01)
    assert row("dcnv2", "rechub", by_name["rechub"])["ex_s"] == 10 and json.dumps(result)
