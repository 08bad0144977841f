"""What every step needs, read once from the environment."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmoe.config import Params, load_params
from mmoe.lake.store import Store, open_store
from mmoe.schema import Schema, load_schema
from mmoe.settings import Settings, load_settings


@dataclass(frozen=True)
class Context:
    """Settings, and what they point at, loaded when first needed."""

    settings: Settings

    @cached_property
    def schema(self) -> Schema:
        return load_schema(self.settings.schema_file)

    @cached_property
    def params(self) -> Params:
        return load_params(self.settings.params_file)

    @cached_property
    def store(self) -> Store:
        return open_store(self.settings.lake_url, self.settings.cache_path)


def load_context(params_file: Path | None = None) -> Context:
    """By the environment; `params_file` in place of its parameters."""
    settings = load_settings()
    return Context(settings if params_file is None else settings.model_copy(update={"params_file": params_file}))
