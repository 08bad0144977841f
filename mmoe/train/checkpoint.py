"""The trainable state as a folder: weights.safetensors, optimizer.safetensors, state.json. No pickle."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmoe.data.aside import written_aside
from mmoe.errors import CorruptionError
from mmoe.lake.manifest import file_digest
from mmoe.model.network import Network, build_network
from mmoe.train.loop import Fit
from mmoe.train.spec import TrainResult, network_spec
from mmoe.train.state import STATE, TrainState, model_digest, read_state

WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """A trained network that can be trained on."""

    network: Network
    optimizer: dict[str, Tensor]
    """What Optimizer.load_state takes."""
    state: TrainState


def save_trainable(folder: Path, trained: Trainable, fit: Fit) -> TrainResult:
    """Write the folder, whole or not at all."""
    with written_aside(folder) as aside:
        aside.mkdir()
        save_tensors(aside / WEIGHTS, trained.network.state_dict())
        save_tensors(aside / OPTIMIZER, trained.optimizer)
        files = {name: file_digest(aside / name) for name in (WEIGHTS, OPTIMIZER)}
        state = trained.state.model_copy(update={"files": files})
        (aside / STATE).write_text(state.model_dump_json(indent=1) + "\n")
    return TrainResult(
        folder=folder,
        digest=model_digest(folder),
        state=state,
        reused=False,
        seconds=fit.seconds,
        examples_per_second=fit.rows / fit.seconds,
        resumed_at=fit.resumed_at,
    )


def load_trainable(folder: Path) -> Trainable:
    """Raises TrainingError if the folder holds no training, CorruptionError if any byte of it has changed."""
    state = read_state(folder)
    for name, digest in state.files.items():
        check_digest(folder / name, digest)
    network = build_network(network_spec(state.data_schema, state.model), seed=0)
    load_weights(network, folder / WEIGHTS)
    return Trainable(network=network, optimizer=load_tensors(folder / OPTIMIZER), state=state)


def check_digest(path: Path, digest: str) -> None:
    """Raises CorruptionError when the file is not the one its folder vouches for."""
    if not path.is_file() or file_digest(path) != digest:
        raise CorruptionError(f"{path}: absent, or its bytes are not those it was saved with; restore it from a copy.")


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CorruptionError(f"{path}: not a readable safetensors file; restore it from a copy.") from error
    return tensors


def load_weights(network: Network, path: Path) -> None:
    """Raises CorruptionError when names or shapes are not the network's."""
    try:
        network.load_state_dict(load_tensors(path))
    except RuntimeError as error:
        raise CorruptionError(f"{path}: its tensors are not those of the network that state.json describes.") from error
