"""Kill a piece of work at its n-th change of files: a forked process that sends itself SIGKILL right before it."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "shutil.copyfile", "shutil.rmtree"}


def killed_at(change: int, folder: Path, work: Callable[[], object]) -> bool:
    """Run `work` in a process of its own that dies before its `change`-th change below `folder`, counted from 0.

    False when it came to its end before that. An exception of `work` is raised here as RuntimeError.
    """
    child = os.fork()
    if child == 0:
        try:
            _die_at(change, str(folder))
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status:
        raise RuntimeError(f"the work failed before it could be killed: status {status}")
    return False


def _die_at(change: int, folder: str) -> None:
    left = change

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if not _changes(event, arguments, folder):
            return
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    sys.addaudithook(count)


def _changes(event: str, arguments: tuple[object, ...], folder: str) -> bool:
    return event == "fcntl.flock" or (event in CHANGES and any(str(path).startswith(folder) for path in arguments[:2]))
