"""Files and folders that appear whole or not at all, whatever kills the writer."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the right to make `target`; waits for another process that makes it. Ends with its process."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.parent / f".{target.name}.lock"
    with _locked(lock):
        try:
            yield
        finally:
            lock.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file that `path` names; the one before may have removed the file we waited for."""
    while True:
        with path.open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _names(path, handle.fileno()):
                yield
                return


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A path to write a file or a folder at; renamed to `target` when the block ends without an exception.

    What an earlier, killed writer left aside is removed first. Use inside `exclusive(target)`.
    """
    aside = target.parent / f".{target.name}.tmp"
    _remove(aside)
    try:
        yield aside
        for path in (aside, *aside.rglob("*")):
            _flush(path)
        aside.replace(target)
        _flush(target.parent)
    finally:
        _remove(aside)


def _names(path: Path, descriptor: int) -> bool:
    """Whether the path still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
