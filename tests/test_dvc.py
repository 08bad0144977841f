"""dvc.yaml and params.yaml as DVC reads them: what it refuses, it refuses before the first step runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def dvc(tmp_path):
    """Run DVC on this project's stages and parameters, with an empty home."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    own = {"MMOE_HOME": str(tmp_path / "home"), "MMOE_PARAMS_FILE": str(tmp_path / "params.yaml")}
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT),
        **own,
    }  # fmt: skip

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_repro_reaches_the_first_step_which_says_what_is_missing(dvc):
    refused = dvc("repro", "plan")
    assert "as_of=2026-09-24: 0 published days have final labels" in refused.stdout + refused.stderr
    assert refused.returncode == 255
