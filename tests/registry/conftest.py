"""A registry on SQLite. Migrating an empty database takes seconds, so it is done once and copied."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from mmoe.registry import Registry, Version
from mmoe.settings import Settings


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("migrated")
    Registry(Settings(home=home, registered_model="unused"))
    return home / "mlflow" / "mlflow.db"


@pytest.fixture
def settings(tmp_path: Path, migrated: Path) -> Settings:
    database = tmp_path / "home" / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True)
    shutil.copy(migrated, database)
    return Settings(home=tmp_path / "home", registered_model="test_model")


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(settings)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A finished training's folder."""
    folder = tmp_path / "trained"
    (folder / "nested").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(bytes(range(256)))
    (folder / "nested" / "state.json").write_text('{"rows": 7}')
    return folder


@pytest.fixture
def log(registry: Registry, trained: Path) -> Callable[..., str]:
    def log(key: str = "plan-1", folder: Path = trained, **changes: object) -> str:
        content = {
            "name": "batch 2026-03-01", "params": {"seed": 17}, "metrics": {"loss": 0.5},
            "curves": {"train_loss": [(0, 0.7), (100, 0.6)]}, "tags": {"kind": "batch"},
        }  # fmt: skip
        return registry.log_training(key=key, folder=folder, **{**content, **changes})  # type: ignore[arg-type]

    return log


@pytest.fixture
def add_version(registry: Registry, log: Callable[..., str]) -> Callable[[str], Version]:
    """add_version("a") registers a version with digest "a…" from a run of its own."""

    def add(name: str) -> Version:
        return registry.register(
            log(key=f"plan-{name}"), digest=name * 64, line="line-1", stage="batch",
            trained_through=date(2026, 3, 2), days=[date(2026, 3, 1), date(2026, 3, 2)],
        )  # fmt: skip

    return add
