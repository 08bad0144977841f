"""Start, watch and stop the components of a stack. A component never outlives the process that started it unless
the stack is detached, and a later start finds and ends whatever an interrupted one left behind."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx

from mmoe.errors import MmoeError
from mmoe.stack.environment import StackConfig, process_environment

STOP_SECONDS = 20.0
HEALTHY_SECONDS = 180.0


class StackError(MmoeError):
    """A component cannot start, or died."""


@dataclass(frozen=True, kw_only=True)
class Component:
    name: str
    command: tuple[str, ...]


def components(config: StackConfig) -> tuple[Component, ...]:
    airflow = (sys.executable, "-m", "airflow")
    mlflow = (sys.executable, "-m", "mlflow", "server", "--backend-store-uri", config.tracking_uri,
              "--default-artifact-root", str(config.home / "mlflow" / "artifacts"), "--host", "127.0.0.1",
              "--port", str(config.mlflow_port), "--workers", "1")  # fmt: skip
    return (
        Component(name="api-server", command=(*airflow, "api-server")),
        Component(name="dag-processor", command=(*airflow, "dag-processor")),
        # The api-server reads logs from disk: no log server, which would listen on every interface.
        Component(name="scheduler", command=(*airflow, "scheduler", "--skip-serve-logs")),
        Component(name="triggerer", command=(*airflow, "triggerer", "--skip-serve-logs")),
        Component(name="mlflow", command=mlflow),
    )


class Stack:
    """The running components of one home folder."""

    def __init__(self, config: StackConfig, *, detached: bool, with_mlflow: bool) -> None:
        self.config = config
        self.detached = detached
        self.wanted = [part for part in components(config) if with_mlflow or part.name != "mlflow"]
        self.started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, say: Callable[[str], None]) -> None:
        """End leftovers, check the ports, migrate the database, start every component, wait until all are healthy."""
        stop_recorded(self.config.home)
        self._refuse_taken_ports()
        say("preparing Airflow's database")
        self._run_airflow("db", "migrate")
        for component in self.wanted:
            say(f"starting {component.name}")
            self._spawn(component)
        self._wait_until_healthy()

    def stop(self) -> None:
        stop_recorded(self.config.home)
        for process in self.started.values():
            process.wait()

    def assert_alive(self) -> None:
        """Raise StackError naming the first component that ended, and the log that says why."""
        for name, process in self.started.items():
            if process.poll() is not None:
                raise StackError(f"{name} ended with code {process.returncode}; see {self.log_of(name)}")

    def log_of(self, name: str) -> Path:
        return self.config.home / "logs" / f"{name}.log"

    def _refuse_taken_ports(self) -> None:
        refuse_taken_port("AIRFLOW_PORT", self.config.airflow_port, "make up")
        if any(part.name == "mlflow" for part in self.wanted):
            refuse_taken_port("MLFLOW_PORT", self.config.mlflow_port, "make up")

    def _run_airflow(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "airflow", *arguments]
        log = self.log_of("-".join(arguments))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            finished = subprocess.run(command, env=process_environment(self.config), stdout=output, stderr=output)
        code = finished.returncode
        if code != 0:
            raise StackError(f"`airflow {' '.join(arguments)}` ended with code {code}; see {log}")

    def _spawn(self, component: Component) -> None:
        log = self.log_of(component.name)
        with log.open("ab") as output:
            process = subprocess.Popen(
                component.command, env=process_environment(self.config), stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True, preexec_fn=None if self.detached else die_with_parent,
            )  # fmt: skip
        self.started[component.name] = process
        record(self.config.home, component.name, process.pid)

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while not self._is_healthy():
            self.assert_alive()
            if time.monotonic() > deadline:
                raise StackError(f"not healthy after {HEALTHY_SECONDS:.0f} s; see {self.config.home / 'logs'}")
            time.sleep(0.5)

    def _is_healthy(self) -> bool:
        try:
            health = httpx.get(f"{self.config.airflow_url}/api/v2/monitor/health", timeout=5).json()
            if "mlflow" in self.started:
                httpx.get(f"{self.config.mlflow_url}/health", timeout=5).raise_for_status()
        except (httpx.HTTPError, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "triggerer"))


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies, so that a killed demo leaves nothing behind."""
    set_parent_death_signal = 1
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(set_parent_death_signal, signal.SIGTERM)


def refuse_taken_port(variable: str, port: int, command: str) -> None:
    if port_is_taken(port):
        raise StackError(
            f"{variable}={port}: another process listens there; end it or choose another port, "
            f"for example `{command} {variable}={port + 1}`."
        )


def port_is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def record(home: Path, name: str, pid: int) -> None:
    """Note a started component with its kernel start time, so that a reused pid is never taken for it."""
    path = home / "stack.json"
    running = json.loads(path.read_text()) if path.exists() else {}
    running[name] = {"pid": pid, "started": start_time(pid)}
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(running))
    aside.replace(path)


def recorded(home: Path) -> dict[str, int]:
    """Components on record that still run: name to pid."""
    path = home / "stack.json"
    if not path.exists():
        return {}
    notes = json.loads(path.read_text())
    return {name: note["pid"] for name, note in notes.items() if start_time(note["pid"]) == note["started"]}


def stop_recorded(home: Path) -> list[str]:
    """End every recorded component and all its descendants; returns the names of those that ran."""
    running = recorded(home)
    family = [pid for root in running.values() for pid in (root, *descendants(root))]
    family += [pid for pid in strays(home) if pid not in family]
    send(family, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(is_running(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.1)
    send([pid for pid in family if is_running(pid)], signal.SIGKILL)
    (home / "stack.json").unlink(missing_ok=True)
    return sorted(running)


def strays(home: Path) -> list[int]:
    """Processes that work for this home although their component is gone: tasks of a killed scheduler."""
    marker = f"AIRFLOW_HOME={home / 'airflow'}\0".encode()
    return [pid for pid in processes() if pid != os.getpid() and marker in environment_of(pid)]


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid in processes():
        fields = stat_of(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def stat_of(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on: state, parent, …; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> str:
    """Kernel ticks at which the process started; empty if it is gone."""
    fields = stat_of(pid)
    return fields[19] if fields else ""


def is_running(pid: int) -> bool:
    fields = stat_of(pid)
    return bool(fields) and fields[0] != "Z"


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
