"""How a training tells of itself: one line that is updated on a terminal, a line now and then in a log."""

import sys
import time
from datetime import timedelta
from typing import TextIO

from mmoe.train.spec import Progress, ReportProgress

SECONDS_BETWEEN_LINES = 15.0
CLEAR_LINE = "\r\x1b[K"


def speaker(stream: TextIO | None = None) -> ReportProgress:
    """Speaks to standard error, which is a terminal where a person started the command, and Airflow's log where a task
    did."""
    out = stream or sys.stderr
    return on_terminal(out) if out.isatty() else in_log(out)


def on_terminal(out: TextIO) -> ReportProgress:
    """The line is rewritten in place, and stays once all rows are done."""

    def speak(progress: Progress) -> None:
        end = "\n" if done(progress) else ""
        print(f"{CLEAR_LINE}{line(progress)}", end=end, file=out, flush=True)

    return speak


def in_log(out: TextIO) -> ReportProgress:
    last = time.monotonic()

    def speak(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES or done(progress):
            last = time.monotonic()
            print(line(progress), file=out, flush=True)

    return speak


def done(progress: Progress) -> bool:
    return progress.rows >= progress.rows_planned


def line(progress: Progress) -> str:
    """Rows, speed, each loss, and the time that is left at this speed."""
    losses = [f"{head} {loss:.4f}" for head, loss in progress.task.items()]
    if progress.distillation is not None:
        losses.append(f"distillation {progress.distillation:.4f}")
    left = timedelta(seconds=round(progress.seconds_left))
    return (
        f"{progress.rows:,} of {progress.rows_planned:,} rows ({progress.rows / progress.rows_planned:.0%}), "
        f"{progress.examples_per_second:,.0f} rows/s, loss {progress.loss:.4f} ({', '.join(losses)}), {left} left"
    )
