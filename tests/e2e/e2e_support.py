"""What end-to-end tests share: starting a demo, and seeing what it left."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS = 15_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def demo_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mmoe.demo", *map(str, arguments)]


def processes_of(home: Path) -> list[int]:
    """Every process that works for a home, by its environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if f"AIRFLOW_HOME={home / 'airflow'}\0".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


class Demo:
    """A home under a temporary folder, and what `make demo` says there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.log = home.parent / "demo.log"
        self.left_running: list[int] | None = None
        """Processes that outlived the finished demo, seen before anything else was started on its home."""

    def start(self) -> subprocess.Popen[bytes]:
        command = demo_command("run", "--home", self.home, "--rows", ROWS, "--airflow-port", self.port)
        with self.log.open("ab") as output:
            return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)

    def published(self) -> list[str]:
        return sorted(path.parent.name[3:] for path in self.home.glob("lake/engagement/dt=*/manifest.json"))

    @property
    def summary(self) -> dict:
        return json.loads((self.home / "summary.json").read_text())

    def settings(self) -> dict[str, str]:
        return json.loads((self.home / "demo.json").read_text())["settings"]
