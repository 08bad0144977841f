"""mmoe.steps.release: only what loads and scores becomes champion."""

from datetime import date

import pytest

from mmoe.errors import RegistryError
from mmoe.registry import Registry
from mmoe.serve.export import export_bundle
from mmoe.settings import Settings
from mmoe.steps.context import Context
from mmoe.steps.release import refuse_unfit


@pytest.fixture
def context(tmp_path):
    return Context(Settings(home=tmp_path / "home", registered_model="test_model"))


@pytest.fixture
def register(context, tmp_path, trained):
    """register("digest", broken=…) -> a version whose bundle is the trained model's, or is cut."""

    def register(digest: str, *, broken: bool = False) -> str:
        folder = tmp_path / digest[:8]
        folder.mkdir()
        export_bundle(trained.folder, folder / "bundle")
        if broken:
            (folder / "bundle" / "float32.safetensors").write_bytes(b"cut")
        registry = Registry(context.settings)
        run = registry.log_training(key=digest, name="a", params={}, metrics={}, curves={}, tags={}, folder=folder)
        day = date(2026, 3, 1)
        version = registry.register(run, digest=digest, line="l", stage="batch", trained_through=day, days=[day])
        return version.version

    return register


def test_a_version_passes_by_what_the_registry_holds_and_a_broken_or_foreign_one_does_not(
    context, register, trained
) -> None:
    registry = Registry(context.settings)
    sound, broken, foreign = register(trained.digest), register("b" * 64, broken=True), register("c" * 64)
    assert refuse_unfit(context, registry, sound).model_digest == trained.digest
    with pytest.raises(RegistryError, match=r"not fit to serve.*float32\.safetensors"):
        refuse_unfit(context, registry, broken)
    with pytest.raises(RegistryError, match="its bundle is of model"):
        refuse_unfit(context, registry, foreign)
    assert list(context.settings.work.iterdir()) == []
