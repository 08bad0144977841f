"""Embedding tables that several processes share out by row, for tables that outgrow one of them. By TorchRec, an extra:
requirements-sharding.txt.

A table of N rows lies in blocks of ⌈N / processes⌉ rows. Ids travel to the process that holds their row, the row comes
back, its gradient goes back and is summed and applied there, in the backward pass, by the same row-wise Adagrad as
`mmoe.train.optim`'s. No process ever holds a whole table: each draws or reads its own rows, a checkpoint keeps them in
a file for each process, and into the model's file they go piece by piece. The model is one like any other.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmoe.errors import ConfigError
from mmoe.model.embeddings import HashedTable, Pool
from mmoe.model.network import Network
from mmoe.train.distributed import Processes
from mmoe.train.optim import EPSILON, Optimizer, refuse_apart
from mmoe.train.tensors import spans

TABLE, FEATURE = "table", "feature"


class RowBlocks:
    """One table's rows, a block of them on each process. All processes must make, call and write it together."""

    def __init__(self, total: int, width: int, group: Processes, lr: float) -> None:
        self.group, self.total, self.size = group, total, -(-total // group.world)
        self.first = group.rank * self.size
        """Of this process's rows."""
        self._collection = sharded_collection(total, width, group.device, group, lr)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TorchRec keeps shards as ShardedTensor
            named = self._collection.state_dict()[f"embeddings.{TABLE}.weight"]
            optimizer = self._collection.fused_optimizer.state_dict()["state"][f"embeddings.{TABLE}.weight"]
            self.weight: Tensor = named.local_shards()[0].tensor
            """This process's rows, not initialised; what training updates."""
            self.sums: Tensor = optimizer[f"{TABLE}.momentum1"].local_shards()[0].tensor
            """Row-wise Adagrad's state of them."""

    def look_up(self, ids: Tensor) -> Tensor:
        """(nnz,) rows of the table → (nnz, W) their embeddings, from wherever they are."""
        from torchrec import KeyedJaggedTensor

        asked = KeyedJaggedTensor(keys=[FEATURE], values=ids, lengths=torch.tensor([len(ids)], device=ids.device))
        found: Tensor = self._collection(asked).wait()[FEATURE].values()
        return found

    def whole(self, own: Tensor) -> "Whole":
        """What `own`, this process's weights or sums, is a part of."""
        return Whole(self, own)


@dataclass(frozen=True)
class Whole:
    """A table, or its sums, over all processes: `mmoe.train.tensors.Pieces`."""

    blocks: RowBlocks
    own: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.blocks.total, *self.own.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        return self.own.dtype

    def pieces(self) -> Iterator[Tensor]:
        """The first process gets all, the others send theirs and get none."""
        group = self.blocks.group
        for rank in range(group.world):
            rows = min(self.blocks.size, self.blocks.total - rank * self.blocks.size)
            for begin, end in spans(rows, self.own):
                if rank == group.rank:
                    piece = self.own.detach()[begin:end].cpu().contiguous()
                    if group.leads:
                        yield piece
                    else:
                        group.send(piece)
                elif group.leads:
                    yield group.received(torch.empty(end - begin, *self.own.shape[1:], dtype=self.dtype), rank)


def sharded_collection(rows: int, width: int, device: torch.device, group: Processes, lr: float) -> Any:
    """TorchRec's look-up of one table, with exact row-wise Adagrad in its backward pass, and empty weights."""
    try:
        from torchrec import EmbeddingCollection, EmbeddingConfig
        from torchrec.distributed.comm_ops import set_gradient_division
        from torchrec.distributed.embedding import EmbeddingCollectionSharder
        from torchrec.distributed.sharding_plan import construct_module_sharding_plan, row_wise
        from torchrec.distributed.types import ShardingEnv
        from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward
        from torchrec.optim.rowwise_adagrad import RowWiseAdagrad
    except ImportError as error:
        raise ConfigError(
            f"MMOE_SHARD_ROWS={group.shard_rows}: {error}; pip install --no-deps -r requirements-sharding.txt."
        ) from error
    set_gradient_division(False)  # our losses are shares of the whole batch's mean: gradients are summed
    config = EmbeddingConfig(name=TABLE, embedding_dim=width, num_embeddings=rows, feature_names=[FEATURE])
    collection = EmbeddingCollection(tables=[config], device=torch.device("meta"))
    apply_optimizer_in_backward(RowWiseAdagrad, collection.parameters(), {"lr": lr, "eps": EPSILON})
    sharder = EmbeddingCollectionSharder()
    plan = construct_module_sharding_plan(
        collection,
        {TABLE: row_wise(compute_kernel="fused")},
        sharder=sharder,
        local_size=group.world,
        world_size=group.world,
        device_type=device.type,
    )
    env = ShardingEnv.from_process_group(torch.distributed.group.WORLD)
    return sharder.shard(collection, plan, env, device=device)


class Sharded(nn.Module):
    """In the place of a Lookup or a Pool. Its weights are no part of the network's parameters or state."""

    def __init__(self, table: HashedTable, blocks: RowBlocks) -> None:
        super().__init__()
        table.register_parameter("weight", None)
        self.table: Any = table
        self.blocks = blocks

    def forward(self, *inputs: Any) -> Tensor:
        if isinstance(self.table, Pool):
            rows, starts = self.table.rows(*inputs)
            found = self.blocks.look_up(rows)
            pooled = F.embedding_bag(torch.arange(len(rows), device=rows.device), found, starts, mode="mean")
            return self.table.side_by_side(pooled)
        rows = self.table.rows(*inputs)
        return self.blocks.look_up(rows.flatten()).view(len(rows), -1)


class ShardedOptimizer(Optimizer):
    """Updates all but the sharded tables, which are updated in the backward pass."""

    def __init__(self, network: nn.Module, blocks: Mapping[str, RowBlocks], **rates: float) -> None:
        super().__init__(network, **rates)
        self.blocks = dict(blocks)

    def idle(self) -> None:
        """Answer the other processes, who ask for rows and send gradients, in a step without rows of one's own."""
        found = [blocks.look_up(blocks.weight.new_empty(0, dtype=torch.int64)) for blocks in self.blocks.values()]
        torch.cat([each.flatten() for each in found]).sum().backward()  # type: ignore[no-untyped-call]


Fill = Callable[[str, HashedTable, RowBlocks], None]
"""Gives a table, by its parameter's name, the rows of this process."""


def drawn(_: str, table: HashedTable, blocks: RowBlocks) -> None:
    """What the table starts with, as if it were in one piece."""
    table.draw(blocks.weight, first=blocks.first)


def build_optimizer(network: Network, group: Processes, *, fill: Fill = drawn, **rates: float) -> Optimizer:
    """Move the network to the group's device and give its optimizer.

    Tables that it was built without, those of `group.apart_from` rows or more, are shared out and filled. Raises
    ConfigError where TorchRec is not installed, or for a penalty on such tables.
    """
    refuse_apart(network, embedding_l2=rates.get("embedding_l2", 0.0))
    blocks: dict[str, RowBlocks] = {}
    for place in ("tables", "bags"):
        tables = getattr(network.embeddings, place)
        for index, table in enumerate(tables):
            if table.weight.is_meta:
                name = f"embeddings.{place}.{index}.weight"
                blocks[name] = RowBlocks(table.total, table.weight.shape[1], group, rates["embedding_lr"])
                fill(name, table, blocks[name])
                tables[index] = Sharded(table, blocks[name])
    network.to(group.device)
    return ShardedOptimizer(network, blocks, **rates) if blocks else Optimizer(network, **rates)


def shared_out(optimizer: Optimizer) -> Mapping[str, RowBlocks]:
    """The tables that are, by their parameters' names."""
    return optimizer.blocks if isinstance(optimizer, ShardedOptimizer) else {}


def shared_rows(optimizer: Optimizer) -> dict[str, Tensor]:
    """What this process holds of them and of their sums, named as in a checkpoint."""
    shared = shared_out(optimizer)
    weights = {f"weights.{name}": blocks.weight for name, blocks in shared.items()}
    return weights | {f"optimizer.adagrad.{name}": blocks.sums for name, blocks in shared.items()}
