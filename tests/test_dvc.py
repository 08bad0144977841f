"""dvc.yaml and params.yaml as DVC reads them: what it refuses, it refuses before the first step runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmoe.steps.dvc_project import point_at

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def project(tmp_path):
    """This project's stages and parameters, and a lake whose one pinned window is damaged."""
    project = tmp_path / "project"
    (project / ".dvc").mkdir(parents=True)
    (project / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, project)
    (tmp_path / "home" / "lake" / "windows").mkdir(parents=True)
    (tmp_path / "home" / "lake" / "windows" / "abc.json").write_text("{}")
    return project


def repro(project, *arguments):
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(project), "PYTHONPATH": str(ROOT),
        "MMOE_HOME": str(project.parent / "home"),
    }  # fmt: skip
    command = [sys.executable, "-m", "dvc", "repro", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)


def test_pinning_changes_nothing_in_dvc_yaml_but_its_dataset_and_the_first_step_checks_the_window(project):
    before = (project / "dvc.yaml").read_text()
    point_at(project, str(project.parent / "home" / "lake"), "windows/abc.json")
    after = (project / "dvc.yaml").read_text()
    assert after.removeprefix(before).split() == [
        "datasets:", "-", "name:", "window", "url:", "remote://lake/windows/abc.json", "type:", "url",
    ]  # fmt: skip
    refused = repro(project, "plan")
    assert "windows/abc.json: kind: Field required" in refused.stdout + refused.stderr
    assert refused.returncode == 255


def test_without_a_pinned_window_nothing_runs(project):
    refused = repro(project)
    assert "dataset not found: 'window'" in refused.stdout + refused.stderr
    assert "Running stage" not in refused.stdout
