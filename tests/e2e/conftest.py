"""One real demo for all end-to-end tests: killed in the middle, run again to its end, then served like `make up`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e_support import ROOT, Demo, demo_command, free_port, processes_of

sys.path += [str(Path(__file__).parents[1] / area) for area in ("lake", "steps")]
from every_store import ceph, make_bucket, moto, session  # noqa: F401  # fixtures

KILL_AFTER_DAYS = 5
LONGEST = 2700
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    demo = Demo(tmp_path_factory.mktemp("demo") / "home")
    first = demo.start()
    deadline = time.monotonic() + LONGEST
    while len(demo.published()) < KILL_AFTER_DAYS:
        assert first.poll() is None, demo.log.read_text()[-3000:]
        assert time.monotonic() < deadline, demo.log.read_text()[-3000:]
        time.sleep(0.5)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = demo.start()
    assert second.wait(timeout=LONGEST) == 0, demo.log.read_text()[-5000:]
    demo.left_running = processes_of(demo.home)
    return demo


@pytest.fixture(scope="session")
def served(demo: Demo):
    """The demo's home as `make up` serves it: (Airflow's URL, MLflow's URL, passwords)."""
    airflow, mlflow = free_port(), free_port()
    ports = ("--airflow-port", airflow, "--mlflow-port", mlflow)
    up = subprocess.run(demo_command("up", "--home", demo.home, *ports), cwd=ROOT, capture_output=True, text=True)
    assert up.returncode == 0, up.stdout + up.stderr
    passwords = json.loads((demo.home / "airflow" / "passwords.json").read_text())
    yield f"http://127.0.0.1:{airflow}", f"http://127.0.0.1:{mlflow}", passwords
    subprocess.run(demo_command("down", "--home", demo.home), cwd=ROOT, check=True)
    assert processes_of(demo.home) == []


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()
