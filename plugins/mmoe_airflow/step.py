"""Run one `mmoe` command as a subprocess of its task.

A step is a transaction on named inputs: it can be killed at any moment and run again. Its arguments are ids and dates,
and what it returns to XCom is the small JSON object of its last output line.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from mmoe_airflow.links import DataQuality, MlflowRun

DONE, REFUSED, USAGE = 0, 1, 2


class Step(BaseOperator):
    """Runs `mmoe COMMAND --OPTION VALUE …`; both are templated, and see `given` for what is left out.

    A refusal fails the task without a retry, and its message is the task's error. Any other death of the subprocess
    (out of memory, a killed worker) is retried. A result with `"skip": true` skips everything downstream; it stays
    readable as the task's XCom.
    """

    template_fields: Sequence[str] = ("command", "options")
    operator_extra_links = (MlflowRun(), DataQuality())
    ui_color = "#e8f0ec"

    def __init__(self, *, command: Sequence[str], options: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = list(command)
        self.options = options or {}
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        code, lines = self._run([sys.executable, "-m", "mmoe", *self.command, *given(self.options)])
        result = last_object(lines)
        if code != DONE:
            raise failure(self.command, code, result)
        if result.get("skip"):
            context["ti"].xcom_push(key="return_value", value=result)
            raise AirflowSkipException(result.get("reason", "nothing to do"))
        return result

    def on_kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)

    def _run(self, command: list[str]) -> tuple[int, list[str]]:
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            preexec_fn=die_with_task,
        )  # fmt: skip
        assert self._process.stdout is not None  # noqa: S101  # stdout=PIPE
        lines: deque[str] = deque(maxlen=50)
        for line in self._process.stdout:
            self.log.info("%s", line.rstrip())
            if line.startswith("{"):  # torchrun says much more after a refusal of one of its processes
                lines.append(line)
        return self._process.wait(), list(lines)


def given(options: dict[str, str]) -> list[str]:
    """Options as arguments: "True" makes a bare flag; "", "None" and "False" leave the option out."""
    arguments: list[str] = []
    for name, value in options.items():
        if value not in ("", "None", "False"):
            arguments += [f"--{name}"] if value == "True" else [f"--{name}", value]
    return arguments


def last_object(lines: Sequence[str]) -> dict[str, Any]:
    """The JSON object on the last line that holds one; empty if there is none."""
    for line in reversed(lines):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            return found if isinstance(found, dict) else {}
    return {}


def failure(command: Sequence[str], code: int, result: dict[str, Any]) -> AirflowException:
    if code in (REFUSED, USAGE) and "error" in result:
        return AirflowFailException(result["error"])
    return AirflowException(f"`mmoe {' '.join(command)}` ended with code {code}; the log above says why")


def die_with_task() -> None:
    """Ask the kernel to end the step when its task's process dies, so that a retry never meets a running twin."""
    set_parent_death_signal = 1
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)
