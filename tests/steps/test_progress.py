"""mmoe.steps.progress: one line on a terminal, lines now and then in a log; rows/s, every loss, time left."""

import io

import pytest

from mmoe.steps import progress as module
from mmoe.steps.progress import line, speaker
from mmoe.train.spec import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at(rows: int) -> Progress:
    return Progress(
        rows=rows, rows_planned=1_000_000, loss=0.75, task={"click": 0.5, "save": 0.25}, distillation=None,
        examples_per_second=100.0,
    )  # fmt: skip


def test_a_line_tells_rows_speed_every_loss_and_the_time_that_is_left() -> None:
    assert line(at(250_000)) == (
        "250,000 of 1,000,000 rows (25%), 100 rows/s, loss 0.7500 (click 0.5000, save 0.2500), 2:05:00 left"
    )


def test_a_terminal_sees_one_line_that_changes() -> None:
    out = Terminal()
    speak = speaker(out)
    for rows in (1000, 2000, 1_000_000):
        speak(at(rows))
    assert out.getvalue().count("\n") == 1 and out.getvalue().endswith("left\n")
    assert out.getvalue().count(module.CLEAR_LINE) == 3


def test_a_log_gets_a_whole_line_each_few_seconds_and_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    out = io.StringIO()
    speak = speaker(out)
    for rows in range(1000, 9000, 1000):
        speak(at(rows))
    speak(at(1_000_000))
    lines = out.getvalue().splitlines()
    assert lines[-1].startswith("1,000,000 of") and 2 <= len(lines) <= 4 and "\r" not in out.getvalue()
