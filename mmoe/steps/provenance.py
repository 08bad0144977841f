"""What a training's bits depend on beside its plan: the code, PyTorch, the kind of CPU, the threads and processes."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from mmoe.parsing import Frozen

PACKAGE = Path(__file__).resolve().parents[1]
UNKNOWN = "unknown"
COMMIT = "mlflow.source.git.commit"
"""MLflow's own tag: its UI shows it as the run's source version."""


class Provenance(Frozen):
    commit: str
    """Git commit of the checkout that this package is part of; "unknown" where it is part of none."""
    dirty: bool
    """Whether any file of the package differs from that commit."""
    torch: str
    cpu: str
    """The widest instruction set that PyTorch computes with here."""
    threads: int
    processes: int = 1
    shard_rows: int = 0
    """Tables of so many rows were shared out over the processes; 0: none."""

    @property
    def tags(self) -> dict[str, str]:
        return {
            COMMIT: self.commit, "code_dirty": str(self.dirty).lower(), "torch": self.torch, "cpu": self.cpu,
            "threads": str(self.threads), "processes": str(self.processes), "shard_rows": str(self.shard_rows),
        }  # fmt: skip

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        """Raises KeyError for a run that was logged without them. One that tells no processes had one."""
        return cls(
            commit=tags[COMMIT], dirty=tags["code_dirty"] == "true", torch=tags["torch"], cpu=tags["cpu"],
            threads=int(tags["threads"]), processes=int(tags.get("processes", "1")),
            shard_rows=int(tags.get("shard_rows", "0")),
        )  # fmt: skip

    def differences(self, other: Self) -> list[str]:
        """In words, from this to the other; empty where nothing that is recorded differs."""
        pairs = zip(self.model_dump().items(), other.model_dump().values(), strict=True)
        return [f"{name}: {mine}, now {theirs}" for (name, mine), theirs in pairs if mine != theirs]


def provenance(commit: str, threads: int, *, processes: int = 1, shard_rows: int = 0) -> Provenance:
    """Of this process. `commit` is what the settings state, for code that lies in no checkout; `threads` 0: PyTorch's
    choice."""
    import torch

    tracked = not commit and bool(git("ls-files", "__init__.py"))
    return Provenance(
        commit=commit or (git("rev-parse", "HEAD") if tracked else UNKNOWN),
        dirty=tracked and bool(git("status", "--porcelain", "--", ".")),
        torch=torch.__version__,
        cpu=torch.backends.cpu.get_cpu_capability(),
        threads=threads or torch.get_num_threads(),
        processes=processes,
        shard_rows=shard_rows if processes > 1 else 0,
    )


def git(*arguments: str) -> str:
    """What git prints in this package's checkout; empty where there is no git or no checkout."""
    try:
        command = ["git", "-C", str(PACKAGE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
