"""Backfills by CLI, REST and UI on the demo's real Airflow: what they repair, and what they never start."""

import json
import shutil
import subprocess
import sys
import time
from datetime import date

import pytest
from e2e_support import ROOT, ROWS

from mmoe.demo.airflow_api import Airflow, wait_until
from mmoe.demo.source import FIRST_DAY, SEED, SIMULATED_DAYS
from mmoe.stack.environment import StackConfig, process_environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

INGEST = "engagement_ingest"
MODEL_DAGS = ("bootstrap", "batch_training", "incremental_training")
EXPIRED, BEFORE_GAP, GAP, BESIDE = (date(2026, 9, day) for day in (8, 9, 10, 12))


@pytest.fixture(scope="module")
def airflow(served):
    url, _, passwords = served
    return Airflow(url, "admin", passwords["admin"])


@pytest.fixture(scope="module")
def gap(demo, tmp_path_factory):
    """A day that has not arrived: neither its files nor a partition. Gives the call that delivers the files."""
    aside = tmp_path_factory.mktemp("gap")
    landing, partition = demo.home / f"landing/dt={GAP}", demo.home / f"lake/engagement/dt={GAP}"
    shutil.move(landing, aside / "landing")
    shutil.move(partition, aside / "partition")
    yield lambda: shutil.copytree(aside / "landing", landing)
    for kept, place in ((aside / "landing", landing), (aside / "partition", partition)):
        if not place.exists():
            shutil.move(kept, place)


@pytest.fixture(scope="module")
def digests(demo):
    """The files of every partition before anything is touched: day -> sha256 of each."""
    return {day: content_of(demo, day) for day in demo.summary["kept_partitions"]}


def content_of(demo, day) -> list[str]:
    manifest = json.loads((demo.home / f"lake/engagement/dt={day}/manifest.json").read_text())
    return [file["sha256"] for file in manifest["files"]]


@pytest.fixture
def delivered_again(demo):
    """The files of an expired day, in the landing zone once more: an attempt to bring it back."""
    import pyarrow.parquet as parquet

    from mmoe.simulate import SimulatorConfig
    from mmoe.simulate.day import simulate_day

    config = SimulatorConfig(seed=SEED, start=FIRST_DAY, days=SIMULATED_DAYS, rows_per_day=ROWS)
    folder = demo.home / f"landing/dt={EXPIRED}"
    folder.mkdir()
    parquet.write_table(simulate_day(config, EXPIRED).table, folder / "part-0.parquet")
    yield
    shutil.rmtree(folder, ignore_errors=True)


def champion_changes(demo) -> list[str]:
    return sorted(path.name for path in demo.home.glob("promotions/*/*.json"))


def model_runs(airflow) -> set[tuple[str, str, str]]:
    return {(dag, run["dag_run_id"], str(run["partition_key"])) for dag in MODEL_DAGS for run in airflow.runs(dag)}


def ingest_runs(airflow) -> set[str]:
    return {run["dag_run_id"] for run in airflow.runs(INGEST)}


def backfilled(airflow, before: set[str]) -> dict[str, dict]:
    """The runs that are new, by day, once no backfill and none of them is at work."""

    def ended() -> bool:
        fills = airflow.backfills(INGEST)
        return all(fill["completed_at"] for fill in fills) and all(
            run["state"] in {"success", "failed"} for run in airflow.runs(INGEST)
        )

    wait_until(ended, what="the backfill", seconds=900, poll=2)
    new = [run for run in airflow.runs(INGEST) if run["dag_run_id"] not in before]
    return {run["partition_key"]: run for run in new if run["dag_run_id"].startswith("backfill__")}


def failed_task(airflow, run) -> str:
    return next(task["task_id"] for task in airflow.tasks(INGEST, run["dag_run_id"]) if task["state"] == "failed")


def log_of(demo, run, task) -> str:
    folder = demo.home / "airflow" / "logs" / f"dag_id={INGEST}" / f"run_id={run['dag_run_id']}" / f"task_id={task}"
    return "".join(path.read_text() for path in sorted(folder.rglob("*.log")))


def test_by_cli_a_range_with_an_expired_day_and_a_gap_beside_another_run(
    airflow, demo, served, digests, gap, delivered_again
):
    models, champions, runs = model_runs(airflow), champion_changes(demo), ingest_runs(airflow)
    airflow.trigger(INGEST, f"beside__{time.time_ns()}", conf={}, partition_key=str(BESIDE))
    port = int(served[0].rpartition(":")[2])
    stack = StackConfig(home=demo.home, airflow_port=port, settings=tuple(demo.settings().items()))
    command = [
        sys.executable, "-m", "airflow", "backfill", "create", "--dag-id", INGEST, "--from-date", str(EXPIRED),
        "--to-date", f"{GAP}T23:59:59", "--reprocess-behavior", "completed", "--max-active-runs", "2",
    ]  # fmt: skip
    created = subprocess.run(command, cwd=ROOT, env=process_environment(stack), capture_output=True, text=True)
    assert created.returncode == 0, created.stdout[-2000:] + created.stderr[-2000:]
    new = backfilled(airflow, runs)
    states = {day: run["state"] for day, run in new.items()}
    assert states == {str(EXPIRED): "failed", str(BEFORE_GAP): "success", str(GAP): "failed"}

    assert failed_task(airflow, new[str(EXPIRED)]) == "ingest"
    assert "behind the retention horizon" in log_of(demo, new[str(EXPIRED)], "ingest")
    assert not (demo.home / f"lake/engagement/dt={EXPIRED}").exists()
    assert f"No landing files for {GAP}" in log_of(demo, new[str(GAP)], "ingest")
    assert content_of(demo, BEFORE_GAP) == digests[str(BEFORE_GAP)]
    assert content_of(demo, BESIDE) == digests[str(BESIDE)]

    assert {key for _, _, key in model_runs(airflow) - models} <= {str(BESIDE)}
    assert champion_changes(demo) == champions


def test_by_rest_only_the_gap_is_filled_once_its_files_are_there(airflow, demo, digests, gap):
    models, champions, runs = model_runs(airflow), champion_changes(demo), ingest_runs(airflow)
    gap()
    airflow.backfill(INGEST, BEFORE_GAP, GAP, reprocess="failed", active_runs=2)
    new = backfilled(airflow, runs)
    assert {day: run["state"] for day, run in new.items()} == {str(GAP): "success"}
    assert content_of(demo, GAP) == digests[str(GAP)]

    offered = airflow.xcom(INGEST, new[str(GAP)]["dag_run_id"], "offer_training")
    offered = json.loads(offered) if isinstance(offered, str) else offered
    assert offered["skip"] is True
    assert str(GAP) in offered["reason"]
    assert model_runs(airflow) == models
    assert champion_changes(demo) == champions


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium on the PATH")
def test_in_the_ui_a_person_processes_a_day_again(airflow, demo, served, digests):
    from playwright.sync_api import sync_playwright

    models, runs = model_runs(airflow), ingest_runs(airflow)
    url, _, passwords = served
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(base_url=url, viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(120_000)
        log_in(page, passwords["operator"])
        page.goto(f"/dags/{INGEST}")
        page.get_by_role("button", name="Trigger").first.click()
        page.get_by_text("Backfill", exact=True).last.click()
        fill_moment(page, 0, BEFORE_GAP, "00:00")
        fill_moment(page, 1, BEFORE_GAP, "23:59")
        page.get_by_text("All Runs", exact=True).click()
        page.get_by_text("1 run will be triggered").wait_for()
        page.get_by_role("button", name="Run Backfill").click()
        page.get_by_text("Backfill generated").first.wait_for()
        browser.close()
    new = backfilled(airflow, runs)
    assert {day: run["state"] for day, run in new.items()} == {str(BEFORE_GAP): "success"}
    assert content_of(demo, BEFORE_GAP) == digests[str(BEFORE_GAP)]
    assert model_runs(airflow) == models


def log_in(page, password) -> None:
    page.goto("/")
    page.fill("input[name=username]", "operator")
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(lambda address: "login" not in address)


def fill_moment(page, number, day, time_of_day) -> None:
    """Type into the form's `number`-th date and time."""
    page.get_by_test_id("datetime-input").nth(number).click()
    open_one = page.locator("[data-scope=popover][data-part=content][data-state=open]")
    open_one.get_by_placeholder("YYYY/MM/DD").fill(f"{day:%Y/%m/%d}")
    open_one.get_by_placeholder("HH:mm").fill(time_of_day)
    page.keyboard.press("Tab")
    page.get_by_text("Date Range").click()
