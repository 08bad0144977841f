"""The demo's promoted model made again by DVC in a clone, and a sweep on its window: no Airflow, no row copied."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from e2e_support import ROOT

from mmoe.lake.reader import open_partition, published_days
from mmoe.lake.store import open_store
from mmoe.schema import load_schema

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]


class Clone:
    """A clone of this repository, whose commands work on the demo's home."""

    def __init__(self, folder, home) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
        self.environment = {
            "PATH": f"{os.path.dirname(sys.executable)}:/usr/bin:/bin", "HOME": str(folder.parent),  # noqa: PTH120
            "PYTHONPATH": str(folder), "MMOE_HOME": str(home), "MMOE_THREADS": "2", "OMP_NUM_THREADS": "1",
            "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost", "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@localhost",
        }  # fmt: skip

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def mmoe(self, *arguments: str) -> dict:
        return json.loads(self.run(sys.executable, "-m", "mmoe", *arguments).splitlines()[-1])


@pytest.fixture(scope="module")
def clone(demo, tmp_path_factory):
    return Clone(tmp_path_factory.mktemp("dvc") / "clone", demo.home)


@pytest.fixture(scope="module")
def batch(demo):
    """Number and digest of the version that the demo's approver promoted."""
    records = [json.loads(path.read_text()) for path in sorted(demo.home.glob("promotions/*/*.json"))]
    return next((each["version"], each["digest"]) for each in records if each["actor"] == "demo-approver")


def test_the_promoted_model_is_made_again_bit_for_bit(clone, batch):
    version, digest = batch
    prepared = clone.mmoe("reproduce", version)
    assert prepared["digest"] == digest
    assert prepared["commit"] == prepared["checked_out"]
    said = clone.run("dvc", "repro", "catch_up")
    made = json.loads((clone.folder / "var" / "dvc" / "catch_up.json").read_text())
    assert (made["digest"], made["reproduces"], made["identical"], made["reused"]) == (digest, version, True, False)
    assert "scored" not in said, "the teacher's score sets are in the lake and need not be made again"


def test_a_sweep_on_the_pinned_window_shows_metrics_per_head_and_view_type(clone):
    clone.run("git", "checkout", "-q", "--force", "HEAD")
    clone.mmoe("pin", "--as-of", "2026-09-24")
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "-qm", "Pin the window")
    clone.run("dvc", "exp", "run", "--name", "larger", "-S", "train.batch_size=2048", "-S", "window.train_days=2")
    table = csv.DictReader(io.StringIO(clone.run("dvc", "exp", "show", "--csv", "--no-pager")))
    larger = next(row for row in table if row["Experiment"] == "larger")
    assert (larger["train.batch_size"], larger["window.train_days"]) == ("2048", "2")
    assert larger["verdict"] in {"pass", "fail", "inconclusive"}
    for column in (
        "auc.click.all",
        "auc.click.search",
        "auc.long_click.home_feed",
        "lift.click.all",
        "lift.primary.all",
    ):
        assert -1 < float(larger[column]) < 1
    assert (clone.folder / "var" / "dvc" / "plots" / "losses.csv").stat().st_size > 100


def test_dvcs_cache_holds_no_row(clone, demo):
    import pyarrow.parquet as parquet

    store = open_store(str(demo.home / "lake"))
    partition = open_partition(store, published_days(store)[-3], load_schema("ads"))
    ids = [
        each.encode() for each in parquet.read_table(partition.files[0], columns=["event_id"])["event_id"].to_pylist()
    ]
    kept = [path for path in (clone.folder / ".dvc").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        content = path.read_bytes()
        assert not content.startswith(b"PAR1")
        assert not any(needle in content for needle in ids[:200]), path
