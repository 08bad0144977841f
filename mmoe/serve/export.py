"""The bundle: what is promoted and served. Digests first, then schema, state, and the weights in each precision.

manifest.json · schema.json · state.json · float32.safetensors · bfloat16.safetensors · calibrator.json, where one was
fitted: with it the bundle serves, without it the bundle teaches.
"""

import shutil
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from mmoe.data.aside import exclusive, written_aside
from mmoe.errors import CorruptionError, TrainingError
from mmoe.evaluate.calibration import Calibrator
from mmoe.lake.manifest import file_digest
from mmoe.model.network import build_network
from mmoe.parsing import Frozen
from mmoe.train.checkpoint import WEIGHTS, check_digest, load_weights
from mmoe.train.spec import network_spec
from mmoe.train.state import STATE, model_digest, read_state
from mmoe.train.tensors import write_tensors

MANIFEST, SCHEMA, CALIBRATOR = "manifest.json", "schema.json", "calibrator.json"
Precision = Literal["float32", "bfloat16"]


class Bundle(Frozen):
    """manifest.json of a bundle."""

    format: Literal[1] = 1
    model_digest: str
    """That of the trainable state it was exported from."""
    files: dict[str, str]
    """sha256 of every other file."""


def weights_file(precision: Precision) -> str:
    return f"{precision}.safetensors"


def export_bundle(trainable: Path, output: Path, calibrator: Calibrator | None = None) -> Bundle:
    """Export a trainable folder into the folder `output`, whole or not at all; one that is there is returned.

    Raises CorruptionError for a damaged trainable, TrainingError when `output` is a bundle of another model or
    calibrator, or when the calibrator was fitted to another model.
    """
    digest = model_digest(trainable)
    if calibrator is not None and calibrator.model_digest != digest:
        raise TrainingError(f"calibrator: of model {calibrator.model_digest[:12]}, not {digest[:12]}; fit it again.")
    with exclusive(output):
        if output.exists():
            bundle = read_bundle(output)
            if bundle.model_digest != digest or read_calibrator(output, bundle) != calibrator:
                raise TrainingError(
                    f"{output}: the bundle of another model or calibrator; give another folder or remove this one."
                )
            return bundle
        with written_aside(output) as aside:
            aside.mkdir()
            return _write(trainable, digest, aside, calibrator)


def read_bundle(folder: Path) -> Bundle:
    """The manifest, with every file checked. Raises TrainingError if absent, CorruptionError if anything changed."""
    path = folder / MANIFEST
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; give the folder of an exported bundle.")
    try:
        bundle = Bundle.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CorruptionError(f"{path}: not a bundle's manifest; export the model again.") from error
    for name, digest in bundle.files.items():
        check_digest(folder / name, digest)
    return bundle


def read_calibrator(folder: Path, bundle: Bundle) -> Calibrator | None:
    """The bundle's calibrator, if it has one. Raises CorruptionError if this code cannot read it."""
    if CALIBRATOR not in bundle.files:
        return None
    path = folder / CALIBRATOR
    try:
        return Calibrator.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CorruptionError(f"{path}: not a calibrator; export the model again.") from error


def _write(trainable: Path, digest: str, folder: Path, calibrator: Calibrator | None) -> Bundle:
    state = read_state(trainable)
    check_digest(trainable / WEIGHTS, state.files[WEIGHTS])
    network = build_network(network_spec(state.data_schema, state.model), seed=0)
    load_weights(network, trainable / WEIGHTS)
    shutil.copyfile(trainable / STATE, folder / STATE)
    (folder / SCHEMA).write_text(state.data_schema.model_dump_json(indent=1) + "\n")
    write_tensors(folder / weights_file("float32"), network.state_dict())
    write_tensors(folder / weights_file("bfloat16"), network.to_mixed().state_dict())
    if calibrator is not None:
        (folder / CALIBRATOR).write_text(calibrator.model_dump_json(indent=1) + "\n")
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    bundle = Bundle(model_digest=digest, files=files)
    (folder / MANIFEST).write_text(bundle.model_dump_json(indent=1) + "\n")
    return bundle
