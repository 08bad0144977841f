"""docs/schema.md against the schema that the code reads."""

from pathlib import Path

from mmoe.parsing import known_keys
from mmoe.schema import Schema

PAGE = (Path(__file__).parents[1] / "docs" / "schema.md").read_text()


def test_every_key_of_a_schema_is_explained():
    explained = PAGE.split("## Keys")[1].split("## Files")[0]
    for key in known_keys(Schema):
        assert f"`{key}" in explained or f".{key}`" in explained, key
