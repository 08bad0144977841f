"""mmoe.train.checkpoint and state: exact round trips, and every changed byte noticed."""

import json
import subprocess
import sys

import pytest
import torch

from mmoe.errors import CorruptionError, TrainingError
from mmoe.train.checkpoint import load_trainable
from mmoe.train.state import model_digest, read_state

FILES = ["optimizer.safetensors", "state.json", "weights.safetensors"]


def test_a_trainable_is_three_files_and_no_pickle(trained) -> None:
    assert sorted(path.name for path in trained.folder.iterdir()) == FILES
    json.loads((trained.folder / "state.json").read_bytes())


def test_loading_gives_back_every_tensor(trained) -> None:
    one, two = load_trainable(trained.folder), load_trainable(trained.folder)
    weights = two.network.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in one.network.state_dict().items())
    names = {name for name, _ in one.network.named_parameters()}
    assert {key.split(".", 1)[1].removesuffix(".step") for key in one.optimizer if key.endswith(".step")} <= names
    assert one.state == trained.state == read_state(trained.folder)


@pytest.mark.parametrize("name", ["optimizer.safetensors", "weights.safetensors"])
def test_a_changed_byte_is_corruption(trained, name) -> None:
    content = bytearray((trained.folder / name).read_bytes())
    content[-1] ^= 1
    (trained.folder / name).write_bytes(content)
    with pytest.raises(CorruptionError, match=name):
        load_trainable(trained.folder)


def test_a_state_that_does_not_hold_together_is_corruption(trained) -> None:
    path = trained.folder / "state.json"
    state = json.loads(path.read_bytes())
    path.write_text(json.dumps(state | {"schema_fingerprint": "0" * 64}))
    with pytest.raises(CorruptionError, match="schema_fingerprint is not that of data_schema"):
        read_state(trained.folder)
    path.write_text(json.dumps(state | {"hash_version": 0}))
    with pytest.raises(CorruptionError, match="hash_version=0"):
        read_state(trained.folder)


def test_a_folder_without_a_state_is_no_training(tmp_path) -> None:
    with pytest.raises(TrainingError, match="give the folder of a finished training"):
        model_digest(tmp_path)


def test_reading_a_state_imports_no_torch() -> None:
    code = "import sys, mmoe.train.state; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
