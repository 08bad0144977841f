import sys
from pathlib import Path

import pytest

from mmoe.lake.store import Store, open_store


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "landing"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "lake"))


sys.path.append(str(Path(__file__).parents[1] / "lake"))  # for handmade.py
