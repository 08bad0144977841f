"""mmoe.serve.export: a bundle is a manifest of digests, whole or not at all."""

import json
from datetime import date

import pytest
import torch
from safetensors.torch import load_file

from mmoe.errors import CorruptionError, TrainingError
from mmoe.evaluate.calibration import Calibrator, Platt
from mmoe.serve.export import export_bundle, read_bundle, read_calibrator
from mmoe.train.incremental import train_incremental
from mmoe.train.state import model_digest

FILES = ["bfloat16.safetensors", "float32.safetensors", "manifest.json", "schema.json", "state.json"]


def test_a_bundle_vouches_for_every_file(trained, tmp_path) -> None:
    bundle = export_bundle(trained.folder, tmp_path / "bundle")
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == FILES
    assert sorted(bundle.files) == [name for name in FILES if name != "manifest.json"]
    assert bundle.model_digest == trained.digest == model_digest(tmp_path / "bundle")
    assert read_bundle(tmp_path / "bundle") == bundle


def test_only_experts_are_bfloat16(trained, tmp_path) -> None:
    export_bundle(trained.folder, tmp_path / "bundle")
    plain, mixed = (load_file(tmp_path / "bundle" / f"{name}.safetensors") for name in ("float32", "bfloat16"))
    original = load_file(trained.folder / "weights.safetensors")
    assert plain.keys() == mixed.keys() == original.keys()
    for name, tensor in mixed.items():
        assert torch.equal(plain[name], original[name])
        assert (tensor.dtype == torch.bfloat16) == name.startswith("experts.")


def test_exporting_again_returns_the_bundle_and_the_same_bytes_elsewhere(trained, tmp_path) -> None:
    first = export_bundle(trained.folder, tmp_path / "one")
    assert export_bundle(trained.folder, tmp_path / "one") == first == export_bundle(trained.folder, tmp_path / "two")


def test_another_models_bundle_is_not_overwritten(
    trained, make_partition, next_day, small_schema, params, tmp_path
) -> None:
    export_bundle(trained.folder, tmp_path / "bundle")
    partitions = [make_partition(next_day)]
    other = train_incremental(
        start=trained.folder, schema=small_schema, params=params, partitions=partitions, output=tmp_path / "other"
    )
    with pytest.raises(TrainingError, match="the bundle of another model or calibrator"):
        export_bundle(other.folder, tmp_path / "bundle")


def calibrator_of(digest: str, slope: float = 2.0) -> Calibrator:
    return Calibrator(day=date(2026, 3, 2), model_digest=digest, maps={"click": {"search": Platt(slope=slope)}})


def test_the_calibrator_is_one_of_the_bundles_files(trained, tmp_path) -> None:
    calibrator = calibrator_of(trained.digest)
    bundle = export_bundle(trained.folder, tmp_path / "bundle", calibrator)
    assert sorted(bundle.files) == sorted({*FILES, "calibrator.json"} - {"manifest.json"})
    assert read_calibrator(tmp_path / "bundle", bundle) == calibrator
    assert export_bundle(trained.folder, tmp_path / "bundle", calibrator) == bundle
    with pytest.raises(TrainingError, match="the bundle of another model or calibrator"):
        export_bundle(trained.folder, tmp_path / "bundle", calibrator_of(trained.digest, 3.0))
    (tmp_path / "bundle" / "calibrator.json").write_text(calibrator_of(trained.digest, 3.0).model_dump_json())
    with pytest.raises(CorruptionError, match=r"calibrator\.json"):
        read_bundle(tmp_path / "bundle")


def test_a_calibrator_of_another_model_is_refused(trained, tmp_path) -> None:
    with pytest.raises(TrainingError, match="fit it again"):
        export_bundle(trained.folder, tmp_path / "bundle", calibrator_of("0" * 64))


@pytest.mark.parametrize("name", FILES)
def test_any_change_is_noticed(trained, tmp_path, name) -> None:
    export_bundle(trained.folder, tmp_path / "bundle")
    path = tmp_path / "bundle" / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CorruptionError):
        read_bundle(tmp_path / "bundle")


def test_a_damaged_training_is_not_exported(trained, tmp_path) -> None:
    weights = trained.folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CorruptionError):
        export_bundle(trained.folder, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_schema_can_be_read_without_this_code(trained, tmp_path, small_schema) -> None:
    export_bundle(trained.folder, tmp_path / "bundle")
    assert json.loads((tmp_path / "bundle" / "schema.json").read_bytes()) == small_schema.model_dump(mode="json")
