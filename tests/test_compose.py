"""docker-compose.yml: complete, without secrets, and true to the code that it starts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
COMPOSE, EXAMPLE = ROOT / "docker-compose.yml", ROOT / ".env.example"
COMPONENTS = {
    "postgres", "databases", "redis", "object-store", "buckets", "mlflow", "airflow-init", "api-server", "scheduler",
    "dag-processor", "triggerer", "worker", "worker-gpu",
}  # fmt: skip


def required() -> set[str]:
    return set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))


def offered(text: str) -> dict[str, str]:
    lines = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in lines}


def configured(values: dict[str, str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "env"
    file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    environment = {name: value for name, value in os.environ.items() if name not in required()}
    command = ["docker-compose", "--file", str(COMPOSE), "--env-file", str(file), "--profile", "gpu", "config"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


needs_compose = pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")


def test_the_example_offers_exactly_what_is_required_and_no_value() -> None:
    assert offered(EXAMPLE.read_text()) == dict.fromkeys(required(), "")


@needs_compose
def test_the_file_is_valid_once_every_secret_is_given(tmp_path: Path) -> None:
    finished = configured(dict.fromkeys(required(), "given"), tmp_path)
    assert finished.returncode == 0, finished.stderr
    services = yaml.safe_load(finished.stdout)["services"]
    assert set(services) == COMPONENTS
    one_shot = {"databases", "buckets", "airflow-init"}
    assert {name for name, service in services.items() if "healthcheck" not in service} == one_shot
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all("127.0.0.1" in str(port) for port in published)


@needs_compose
@pytest.mark.parametrize("name", sorted(required()))
def test_a_missing_secret_is_named(tmp_path: Path, name: str) -> None:
    finished = configured({each: "given" for each in required() if each != name}, tmp_path)
    assert finished.returncode != 0
    assert name in finished.stderr
    assert "set it in .env" in finished.stderr


def test_no_secret_has_a_default() -> None:
    defaults = re.findall(r"\$\{(\w+):?-", COMPOSE.read_text())
    places = {"AIRFLOW_PORT", "MLFLOW_PORT", "MMOE_SCHEMA_FILE", "MMOE_REGISTERED_MODEL", "MMOE_TRAINING_QUEUE"}
    assert set(defaults) == places | {"MMOE_OVERRIDE_USERS", "MMOE_MLFLOW_URL"}


def test_the_pools_are_those_that_the_dags_use() -> None:
    assets = (ROOT / "plugins" / "mmoe_airflow" / "assets.py").read_text()
    named = set(re.findall(r'^\w+_POOL = "(\w+)"$', assets, flags=re.M))
    assert set(re.findall(r"airflow pools set (\w+) ", COMPOSE.read_text())) == named


def test_the_image_holds_everything_that_it_copies() -> None:
    copied = re.findall(r"^COPY (?:--chown=\S+ )?(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.M)
    sources = {source for line in copied for source in line.split()}
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), flags=re.M))
    assert sources == let_through
    assert {source for source in sources if not (ROOT / source).exists()} <= {"README.md"}


def test_the_executor_and_the_login_of_the_stack_can_be_imported(tmp_path: Path) -> None:
    script = (
        "from airflow.providers.celery.executors.celery_executor import CeleryExecutor, app; "
        "from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager; import psycopg2"
    )
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    finished = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-2000:]
