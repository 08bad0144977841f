"""What every step needs, read once from the environment."""

from dataclasses import dataclass
from functools import cached_property

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


def load_context() -> Context:
    return Context(load_settings())
