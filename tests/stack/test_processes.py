import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmoe.stack.environment import StackConfig, prepare_secrets, process_environment
from mmoe.stack.processes import (
    StackError,
    is_running,
    record,
    recorded,
    refuse_taken_port,
    stop_recorded,
    strays,
)
from mmoe.stack.sqlite import LOCK_TIMEOUT_SECONDS

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def sleeper():
    process = subprocess.Popen(SLEEP, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_recorded_process_and_its_children_are_stopped(tmp_path):
    family = f"import subprocess, time; subprocess.Popen({SLEEP!r}); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", family], start_new_session=True)
    time.sleep(0.5)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    record(tmp_path, "scheduler", parent.pid)
    assert stop_recorded(tmp_path) == ["scheduler"]
    parent.wait()
    assert not any(is_running(int(child)) for child in children)


def test_a_reused_pid_is_not_taken_for_a_component(tmp_path, sleeper):
    record(tmp_path, "scheduler", sleeper.pid)
    path = tmp_path / "stack.json"
    notes = json.loads(path.read_text())
    notes["scheduler"]["started"] = "1"
    path.write_text(json.dumps(notes))
    assert recorded(tmp_path) == {}
    stop_recorded(tmp_path)
    assert sleeper.poll() is None


def test_tasks_that_outlived_their_scheduler_are_found_by_their_home(tmp_path):
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "airflow")}
    task = subprocess.Popen(SLEEP, env=environment, start_new_session=True)
    time.sleep(0.3)
    assert strays(tmp_path) == [task.pid]
    stop_recorded(tmp_path)
    assert task.wait() == -signal.SIGTERM


def test_a_taken_port_is_refused_with_the_way_out():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(StackError, match=rf"AIRFLOW_PORT={port}: .*make demo AIRFLOW_PORT={port + 1}"):
            refuse_taken_port("AIRFLOW_PORT", port, "make demo")


def test_secrets_are_made_once_and_readable_by_the_owner_alone(tmp_path):
    config = StackConfig(home=tmp_path)
    first = prepare_secrets(config)
    assert prepare_secrets(config) == first
    for name in ("keys.json", "passwords.json"):
        assert (config.airflow_home / name).stat().st_mode & 0o077 == 0


def test_nothing_of_the_callers_airflow_reaches_the_stack(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("MMOE_LAKE", "s3://production")
    config = StackConfig(home=tmp_path, settings=(("MMOE_SCHEMA_FILE", "kuairand"),))
    prepare_secrets(config)
    environment = process_environment(config)
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "MMOE_LAKE" not in environment
    assert environment["MMOE_SCHEMA_FILE"] == "kuairand"
    assert environment["AIRFLOW_HOME"].startswith(str(tmp_path))


def test_airflow_waits_for_a_locked_sqlite_database(tmp_path):
    config = StackConfig(home=tmp_path)
    prepare_secrets(config)
    ask = (
        "from airflow.settings import engine; print(engine.raw_connection().execute('PRAGMA busy_timeout').fetchone())"
    )
    said = subprocess.run(
        [sys.executable, "-c", ask], env=process_environment(config), capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == f"({1000 * LOCK_TIMEOUT_SECONDS},)"
