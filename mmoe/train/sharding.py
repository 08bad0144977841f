"""Embedding tables that several processes share out by row, for tables that outgrow one of them. By TorchRec, an extra:
requirements-sharding.txt.

A table of N rows lies in blocks of ⌈N / processes⌉ rows. Ids travel to the process that holds their row, the row comes
back, its gradient goes back and is summed and applied there, in the backward pass, by the same row-wise Adagrad as
`mmoe.train.optim`'s. What is saved is a whole table under its own name: checkpoints and models are like any other. Each
process holds whole tables in memory while the network is built, and while a checkpoint or the model is gathered.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmoe.errors import ConfigError
from mmoe.model.embeddings import HashedTable, Pool
from mmoe.model.network import Network
from mmoe.train.distributed import Processes
from mmoe.train.optim import EPSILON, Optimizer

TABLE, FEATURE = "table", "feature"


class RowBlocks:
    """One table's rows, a block of them on each process. All processes must make, call and gather it together."""

    def __init__(self, weight: Tensor, group: Processes, lr: float) -> None:
        size = -(-len(weight) // group.world)
        self.group, self.rows = group, slice(group.rank * size, (group.rank + 1) * size)
        self.total, self.size = len(weight), size
        self._collection = sharded_collection(len(weight), weight.shape[1], weight.device, group, lr)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TorchRec keeps shards as ShardedTensor
            named = self._collection.state_dict()[f"embeddings.{TABLE}.weight"]
            optimizer = self._collection.fused_optimizer.state_dict()["state"][f"embeddings.{TABLE}.weight"]
            self.weight: Tensor = named.local_shards()[0].tensor
            """This process's rows; what training updates."""
            self.sums: Tensor = optimizer[f"{TABLE}.momentum1"].local_shards()[0].tensor
            """Row-wise Adagrad's state of them."""
        self.load(self.weight, weight)

    def look_up(self, ids: Tensor) -> Tensor:
        """(nnz,) rows of the table → (nnz, W) their embeddings, from wherever they are."""
        from torchrec import KeyedJaggedTensor

        asked = KeyedJaggedTensor(keys=[FEATURE], values=ids, lengths=torch.tensor([len(ids)], device=ids.device))
        found: Tensor = self._collection(asked).wait()[FEATURE].values()
        return found

    def load(self, own: Tensor, whole: Tensor) -> None:
        """Take this process's part of a whole table, or of its sums."""
        with torch.no_grad():
            own.copy_(whole[self.rows])

    def gathered(self, own: Tensor) -> Tensor:
        """The whole of what `own` is a part of, on every process."""
        padded = torch.zeros(self.size, *own.shape[1:])
        padded[: len(own)] = own.detach().cpu()
        return torch.cat(self.group.gathered(padded))[: self.total]


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
    """In the place of a Lookup or a Pool, whose state_dict it reads and writes whole."""

    def __init__(self, table: HashedTable, blocks: RowBlocks) -> None:
        super().__init__()
        table.weight.data = table.weight.new_empty(0)
        self.blocks, self._whole = blocks, [table]  # in a list, so that its weight is no parameter of the network

    @property
    def table(self) -> Any:
        return self._whole[0]

    def forward(self, *inputs: Any) -> Tensor:
        if isinstance(self.table, Pool):
            rows, starts = self.table.rows(*inputs)
            found = self.blocks.look_up(rows)
            pooled = F.embedding_bag(torch.arange(len(rows), device=rows.device), found, starts, mode="mean")
            return self.table.side_by_side(pooled)
        rows = self.table.rows(*inputs)
        return self.blocks.look_up(rows.flatten()).view(len(rows), -1)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.blocks.gathered(self.blocks.weight)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *_: Any) -> None:
        self.blocks.load(self.blocks.weight, state_dict[f"{prefix}weight"])

    def whole(self) -> HashedTable:
        """The table that it took the place of, with the weights of all processes."""
        table: HashedTable = self.table
        table.weight.data = self.blocks.gathered(self.blocks.weight).to(table.row_offsets.device)
        return table


class ShardedOptimizer(Optimizer):
    """Updates all but the sharded tables, which are updated in the backward pass, and saves the state of both."""

    def __init__(self, network: nn.Module, blocks: Mapping[str, RowBlocks], **rates: float) -> None:
        super().__init__(network, **rates)
        self.blocks = dict(blocks)

    def idle(self) -> None:
        """Answer the other processes, who ask for rows and send gradients, in a step without rows of one's own."""
        found = [blocks.look_up(blocks.weight.new_empty(0, dtype=torch.int64)) for blocks in self.blocks.values()]
        torch.cat([each.flatten() for each in found]).sum().backward()  # type: ignore[no-untyped-call]

    def state(self) -> dict[str, Tensor]:
        sums = {f"adagrad.{name}": blocks.gathered(blocks.sums) for name, blocks in self.blocks.items()}
        return super().state() | sums

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        super().load_state(state)
        for name, blocks in self.blocks.items():
            blocks.load(blocks.sums, state[f"adagrad.{name}"])


def build_optimizer(network: Network, group: Processes, **rates: float) -> Optimizer:
    """The optimizer of a network whose tables of `group.shard_rows` rows or more are shared out from now on; all of the
    network's where there is no such table, or a single process. Raises ConfigError where TorchRec is not installed.
    """
    blocks: dict[str, RowBlocks] = {}
    for place, tables in places(network):
        for index, table in enumerate(tables):
            rows = len(table.weight)
            if group.world > 1 and group.shard_rows and rows >= max(group.shard_rows, group.world**2):
                name = f"embeddings.{place}.{index}.weight"
                blocks[name] = RowBlocks(table.weight.detach(), group, rates["embedding_lr"])
                tables[index] = Sharded(table, blocks[name])
    return ShardedOptimizer(network, blocks, **rates) if blocks else Optimizer(network, **rates)


def made_whole(network: Network) -> Network:
    """The network with each table in one piece again, on every process."""
    for _, tables in places(network):
        for index, table in enumerate(tables):
            if isinstance(table, Sharded):
                tables[index] = table.whole()
    return network


def places(network: Network) -> tuple[tuple[str, Any], ...]:
    return ("tables", network.embeddings.tables), ("bags", network.embeddings.bags)
