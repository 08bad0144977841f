"""Kill a piece of work at its n-th change of files: a forked process that sends itself SIGKILL right before it."""

import os
import signal
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "shutil.copyfile", "shutil.rmtree"}


def killed_at(change: int, folder: Path, work: Callable[[], object]) -> bool:
    """Run `work` in a process of its own that dies before its `change`-th change below `folder`, counted from 0.

    False when it came to its end before that. An exception of `work` is raised here as RuntimeError.
    """
    return _killed(_at(change, str(folder)), work)


def killed_before(pattern: str, folder: Path, work: Callable[[], object]) -> bool:
    """The same, but it dies before a file below `folder` appears whose path ends with what the glob `pattern` says."""

    def appears(event: str, arguments: tuple[object, ...]) -> bool:
        if event != "os.rename":
            return False
        path = str(arguments[1])
        return path.startswith(str(folder)) and fnmatch(path, f"*/{pattern}")

    return _killed(appears, work)


def _killed(is_time: Callable[[str, tuple[object, ...]], bool], work: Callable[[], object]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            sys.addaudithook(lambda event, arguments: _die() if is_time(event, arguments) else None)
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


def _at(change: int, folder: str) -> Callable[[str, tuple[object, ...]], bool]:
    left = change

    def is_time(event: str, arguments: tuple[object, ...]) -> bool:
        nonlocal left
        if not _changes(event, arguments, folder):
            return False
        left -= 1
        return left < 0

    return is_time


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _changes(event: str, arguments: tuple[object, ...], folder: str) -> bool:
    return event == "fcntl.flock" or (event in CHANGES and any(str(path).startswith(folder) for path in arguments[:2]))
