import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from every_store import ceph, make_bucket, moto, session  # noqa: F401  # fixtures
from handmade import SCHEMA
from lakes import DAYS, publish_day

from mmoe.lake.inventory import Stores
from mmoe.lake.registered import registered_stores
from mmoe.lake.store import Store, open_store
from mmoe.settings import Settings


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "landing"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "lake"))


@pytest.fixture
def lake_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty lake on the store that the test's parameter names."""
    if request.param == "local":
        return str(tmp_path / "lake")
    return f"s3://{request.getfixturevalue('make_bucket')(request.param)}/some/lake"


@pytest.fixture
def any_store(lake_url: str, tmp_path: Path) -> Store:
    return open_store(lake_url, tmp_path / "cache")


@pytest.fixture
def stores(tmp_path: Path, store: Store) -> Stores:
    """The lake and everything else that is registered for a home at tmp_path."""
    return registered_stores(Settings(home=tmp_path, dvc_project=tmp_path / "project"), SCHEMA, store)


@pytest.fixture
def lake(stores: Stores) -> Stores:
    """Six published days, each with every kind of copy that a day can have."""
    for day in DAYS:
        publish_day(stores, day)
    return stores


@pytest.fixture
def restore(tmp_path: Path) -> Callable[[dict[str, bytes]], None]:
    """restore(state) puts back every file that `lakes.state` saw, and no other."""

    def put_back(files: dict[str, bytes]) -> None:
        shutil.rmtree(tmp_path)
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return put_back
