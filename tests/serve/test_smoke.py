"""mmoe.serve.smoke: what may serve loads and scores, and what does not is refused with the reason."""

import json

import pytest
from safetensors.torch import load_file, save_file

from mmoe.errors import CorruptionError, EvaluationError, TrainingError
from mmoe.lake.manifest import file_digest
from mmoe.serve.export import MANIFEST, export_bundle
from mmoe.serve.smoke import ROWS, invented_partition, smoke_test


@pytest.fixture
def bundle(trained, tmp_path):
    export_bundle(trained.folder, tmp_path / "bundle")
    return tmp_path / "bundle"


def rewrite(bundle, precision, change):
    """Change every floating tensor of one export, and its digest in the manifest with it."""
    path = bundle / f"{precision}.safetensors"
    save_file({name: change(name, tensor) for name, tensor in load_file(path).items()}, path)
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"][path.name] = file_digest(path)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def test_a_sound_bundle_passes_with_its_digest_and_all_heads(bundle, trained) -> None:
    passed = smoke_test(bundle)
    assert (passed.model_digest, passed.rows) == (trained.digest, ROWS)
    assert passed.heads == trained.state.heads
    assert 0 < passed.precision_gap < 0.2


def test_invented_rows_hold_nulls_every_view_type_and_no_label(small_schema, tmp_path) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(invented_partition(small_schema, tmp_path / "rows.parquet").files[0])
    features = [*small_schema.features.categorical, *small_schema.features.numeric, *small_schema.features.multivalued]
    assert all(0 < rows[name].null_count < ROWS / 4 for name in features)
    assert [rows[name][1].as_py() for name in features] == [None] * len(features)
    assert set(rows["view_type"].to_pylist()) == set(small_schema.view_type.names)
    assert {rows[name].null_count for name in small_schema.labels} == {ROWS}


def test_an_absent_and_a_changed_bundle_do_not_load(bundle, tmp_path) -> None:
    with pytest.raises(TrainingError, match="no such file"):
        smoke_test(tmp_path / "nothing")
    (bundle / "bfloat16.safetensors").write_bytes(b"cut")
    with pytest.raises(CorruptionError):
        smoke_test(bundle)


def test_weights_that_are_not_numbers_are_refused(bundle) -> None:
    rewrite(bundle, "float32", lambda name, tensor: tensor * float("nan"))
    with pytest.raises(EvaluationError, match="not finite"):
        smoke_test(bundle)


def test_a_model_that_says_the_same_of_every_row_is_refused(bundle) -> None:
    rewrite(bundle, "float32", lambda name, tensor: tensor * 0)
    with pytest.raises(EvaluationError, match="score alike"):
        smoke_test(bundle)


def test_an_export_that_disagrees_with_the_other_precision_is_refused(bundle) -> None:
    rewrite(bundle, "bfloat16", lambda name, tensor: tensor * 3)
    with pytest.raises(EvaluationError, match="in bfloat16 differs"):
        smoke_test(bundle)
