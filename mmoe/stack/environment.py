"""The environment that makes Airflow, MLflow and mmoe use one home folder and nothing outside it."""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmoe.stack.sqlite import CONNECT_ARGS_PATH

CHECKOUT = Path(__file__).resolve().parents[2]
USERS = {"admin": "admin", "operator": "op", "viewer": "viewer", "demo-approver": "op"}
"""Login names of the embedded stack and their Airflow roles. `demo-approver` answers approvals in `make demo`."""


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """Where a stack lives and listens."""

    home: Path
    airflow_port: int = 8080
    mlflow_port: int = 5000
    settings: tuple[tuple[str, str], ...] = ()
    """MMOE_* variables that every step of this stack sees."""

    @property
    def airflow_home(self) -> Path:
        return self.home / "airflow"

    @property
    def airflow_url(self) -> str:
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"


def prepare_secrets(config: StackConfig) -> dict[str, str]:
    """Passwords of the stack's users, and its signing keys: made once, readable by the owner alone."""
    config.airflow_home.mkdir(parents=True, exist_ok=True)
    write_once(config.airflow_home / "keys.json", lambda: {name: secrets.token_urlsafe(64) for name in ("jwt", "api")})
    passwords = config.airflow_home / "passwords.json"
    write_once(passwords, lambda: {user: secrets.token_urlsafe(12) for user in USERS})
    known: dict[str, str] = json.loads(passwords.read_text())
    return known


def write_once(path: Path, make: Callable[[], dict[str, str]]) -> None:
    if path.exists():
        return
    aside = path.with_suffix(".tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(make(), file)
    aside.replace(path)


def process_environment(config: StackConfig) -> dict[str, str]:
    """Everything a component or a task inherits. Needs `prepare_secrets` to have run."""
    keys = json.loads((config.airflow_home / "keys.json").read_text())
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MMOE_"))}
    return {
        **inherited,
        **airflow_variables(config, keys),
        "MMOE_HOME": str(config.home),
        "MMOE_PARAMS_FILE": str(CHECKOUT / "params.yaml"),
        "MMOE_DVC_PROJECT": str(CHECKOUT),
        "MMOE_MLFLOW_URL": config.mlflow_url,
        **dict(config.settings),
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def airflow_variables(config: StackConfig, keys: dict[str, str]) -> dict[str, str]:
    home = config.airflow_home
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{config.airflow_url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": CONNECT_ARGS_PATH,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC": CONNECT_ARGS_PATH,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(config.airflow_port),
        "AIRFLOW__API__BASE_URL": config.airflow_url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": keys["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
        "AIRFLOW__API_AUTH__JWT_ISSUER": "mmoe",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "logs" / "dag_processor"),
        # A worker may notice only a heartbeat later that its task has ended, and takes no other until then.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
