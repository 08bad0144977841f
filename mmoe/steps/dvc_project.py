"""The DVC project that experiments run in: its dataset `window`, its params.yaml, what earlier runs left there."""

import subprocess
import sys
from pathlib import Path

import yaml

from mmoe.config import Params
from mmoe.errors import ConfigError
from mmoe.steps.pin import DATASET

PARAMS, RESULTS, REMOTE = Path("params.yaml"), Path("var/dvc"), "lake"
WRITTEN = (
    "# Written by `mmoe reproduce`: what the version was trained with. `git restore params.yaml` brings yours back."
)


def point_at(project: Path, lake_url: str, key: str) -> None:
    """Make the pinned window the project's dataset `window`, in dvc.yaml and dvc.lock. Copies nothing.

    The remote `lake` is written to .dvc/config.local, because every place has its own. Raises ConfigError.
    """
    if not (project / ".dvc").is_dir() or not (project / "dvc.yaml").is_file():
        raise ConfigError(f"{project}: no DVC project; run this where dvc.yaml is, in a clone of the repository.")
    dvc(project, "remote", "add", "--quiet", "--local", "--force", REMOTE, lake_url)
    dvc(project, "dataset", "add", "--quiet", "--force", DATASET, "--url", f"remote://{REMOTE}/{key}")


def dvc(project: Path, *arguments: str) -> None:
    """Raises ConfigError with what DVC said if it fails."""
    command = [sys.executable, "-m", "dvc", *arguments]
    finished = subprocess.run(command, cwd=project, capture_output=True, text=True)
    if finished.returncode != 0:
        said = (finished.stderr or finished.stdout).strip().splitlines()[-1:]
        raise ConfigError(f"`dvc {' '.join(arguments)}` failed: {' '.join(said)}")


def refuse_edited_params(project: Path) -> None:
    """Raises ConfigError if params.yaml holds changes that are not committed and that no reproduction wrote."""
    if (project / PARAMS).read_text().startswith(WRITTEN):
        return
    command = ["git", "-C", str(project), "diff", "--quiet", "HEAD", "--", str(PARAMS)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        raise ConfigError(f"{PARAMS}: has changes that are not committed, and would be overwritten; commit them first.")


def write_params(project: Path, params: Params) -> None:
    text = yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False)
    aside = project / "params.yaml.tmp"
    aside.write_text(f"{WRITTEN}\n{text}")
    aside.replace(project / PARAMS)


def forget_results(project: Path) -> None:
    """Remove what earlier runs left, so that `dvc repro` runs every stage again."""
    for path in (project / RESULTS).glob("*.json"):
        path.unlink()
