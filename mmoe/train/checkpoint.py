"""The trainable state as a folder: weights.safetensors, optimizer.safetensors, state.json. No pickle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from mmoe.data.aside import written_aside
from mmoe.errors import CorruptionError
from mmoe.lake.manifest import file_digest
from mmoe.model.embeddings import HashedTable
from mmoe.model.network import Network, build_network
from mmoe.train.distributed import ALONE, Processes
from mmoe.train.loop import Fit
from mmoe.train.optim import to_share_out
from mmoe.train.sharding import Fill, RowBlocks
from mmoe.train.spec import TrainResult, network_spec
from mmoe.train.state import STATE, TrainState, model_digest, read_state
from mmoe.train.tensors import read_rows, read_tensors, take_part, write_tensors

WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """A trained network that can be trained on."""

    network: Network
    optimizer: dict[str, Tensor]
    """What Optimizer.load_state takes."""
    state: TrainState
    shared: Mapping[str, RowBlocks] = field(default_factory=dict)
    """Tables that are not in the network, of which each process holds rows."""


def save_trainable(folder: Path, trained: Trainable, fit: Fit, group: Processes = ALONE) -> TrainResult | None:
    """Write the folder, whole or not at all. All processes must call it: the first one writes and tells the result."""
    shared = trained.shared.items()
    weights = trained.network.state_dict() | {name: blocks.whole(blocks.weight) for name, blocks in shared}
    optimizer = trained.optimizer | {f"adagrad.{name}": blocks.whole(blocks.sums) for name, blocks in shared}
    if not group.leads:
        take_part(weights)
        take_part(optimizer)
        return None
    with written_aside(folder) as aside:
        aside.mkdir()
        write_tensors(aside / WEIGHTS, weights)
        write_tensors(aside / OPTIMIZER, optimizer)
        files = {name: file_digest(aside / name) for name in (WEIGHTS, OPTIMIZER)}
        state = trained.state.model_copy(update={"files": files})
        (aside / STATE).write_text(state.model_dump_json(indent=1) + "\n")
    return TrainResult(
        folder=folder,
        digest=model_digest(folder),
        state=state,
        reused=False,
        seconds=fit.seconds,
        examples_per_second=fit.learned / fit.seconds,
        resumed_at=fit.resumed_at,
    )


def load_trainable(folder: Path, group: Processes = ALONE) -> Trainable:
    """All but the tables that the group's processes share out, which `rows_of` reads. Raises TrainingError if the
    folder holds no training, CorruptionError if any byte of it has changed.
    """
    state = read_state(folder)
    for name, digest in state.files.items():
        check_digest(folder / name, digest)
    network = build_network(network_spec(state.data_schema, state.model), seed=0, apart_from=group.apart_from)
    apart = load_weights(network, folder / WEIGHTS)
    sums = frozenset(f"adagrad.{name}" for name in apart)
    return Trainable(network=network, optimizer=read_tensors(folder / OPTIMIZER, without=sums), state=state)


def rows_of(folder: Path) -> Fill:
    """Shared out tables as the folder has them. Raises CorruptionError."""

    def fill(name: str, table: HashedTable, blocks: RowBlocks) -> None:
        read_rows(folder / WEIGHTS, name, blocks.weight, first=blocks.first, rows=table.total)
        read_rows(folder / OPTIMIZER, f"adagrad.{name}", blocks.sums, first=blocks.first, rows=table.total)

    return fill


def check_digest(path: Path, digest: str) -> None:
    """Raises CorruptionError when the file is not the one its folder vouches for."""
    if not path.is_file() or file_digest(path) != digest:
        raise CorruptionError(f"{path}: absent, or its bytes are not those it was saved with; restore it from a copy.")


def load_weights(network: Network, path: Path) -> frozenset[str]:
    """All but the tables that the network was built without, whose names it tells. Raises CorruptionError when names or
    shapes are not the network's.
    """
    apart = frozenset(to_share_out(network))
    tensors = read_tensors(path, without=apart)
    try:
        if tensors.keys() != network.state_dict().keys() - apart:
            raise RuntimeError
        network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise CorruptionError(f"{path}: its tensors are not those of the network that state.json describes.") from error
    return apart
