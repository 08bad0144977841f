import json

import pytest
from handmade import SCHEMA

from mmoe.errors import SchemaError
from mmoe.lake.partitions import canonical_schema
from mmoe.quality import load_suite, write_suites
from mmoe.quality.rules import checked_columns, derive_suite
from mmoe.quality.suite import DERIVED, SUITES, suite_path
from mmoe.schema import Schema, load_schema


@pytest.mark.parametrize("name", ["ads", "kuairand"])
def test_a_checked_in_suite_covers_exactly_the_schemas_columns(name):
    import pyarrow as pa

    schema = load_schema(name)
    suite = json.loads((SUITES / f"{name}.json").read_text())
    mentioned = {rule["kwargs"].get("column") or rule["kwargs"].get("column_B") for rule in suite["expectations"]}
    assert mentioned - {None} == set(canonical_schema(schema, pa.int64()).names)
    assert suite == load_suite(schema) == derive_suite(schema)


@pytest.mark.parametrize("name", ["ads", "kuairand"])
@pytest.mark.parametrize("kind", ["rows", "published", "scores"])
def test_every_kind_of_suite_is_checked_in_as_derived(name, kind):
    schema = load_schema(name)
    assert suite_path(schema, SUITES, kind).is_file()
    assert load_suite(schema, kind=kind) == DERIVED[kind](schema)


def test_a_scores_suite_for_other_heads_is_refused(tmp_path):
    write_suites(SCHEMA, tmp_path)
    content = SCHEMA.model_dump(mode="json")
    content["labels"]["hide"] = {}
    with pytest.raises(SchemaError, match=r"other columns than schema 'handmade' has \(hide\)"):
        load_suite(Schema.model_validate(content), tmp_path, "scores")


def test_a_schema_without_a_file_gets_the_derived_suite(tmp_path):
    assert load_suite(SCHEMA, tmp_path) == derive_suite(SCHEMA)


def test_a_suite_edited_by_hand_is_used_as_it_is(tmp_path):
    path = write_suites(SCHEMA, tmp_path)[0]
    suite = json.loads(path.read_text())
    assert suite == derive_suite(SCHEMA)
    suite["expectations"].append({"type": "expect_column_max_to_be_between", "kwargs": {"column": "price"}})
    path.write_text(json.dumps(suite))
    assert load_suite(SCHEMA, tmp_path) == suite


def test_a_suite_for_other_columns_is_refused_with_their_names(tmp_path):
    write_suites(SCHEMA, tmp_path)
    content = SCHEMA.model_dump(mode="json")
    content["features"]["numeric"]["margin"] = {}
    with pytest.raises(SchemaError, match=r"other columns than schema 'handmade' has \(margin\)"):
        load_suite(Schema.model_validate(content), tmp_path)
    (tmp_path / "handmade.json").write_text("[]")
    with pytest.raises(SchemaError, match="no expectation suite"):
        load_suite(SCHEMA, tmp_path)


def test_checked_columns_are_the_partitions():
    import pyarrow as pa

    assert list(checked_columns(SCHEMA)) == canonical_schema(SCHEMA, pa.int64()).names
