# ruff: noqa: N806  (shapes in names)
"""Several processes that train one network on disjoint row groups: `torchrun … -m mmoe train …`.

Every process holds the whole network and its optimizer's state, but for tables that `mmoe.train.sharding` shares out. A
step's batch is what all of them hold together: a loss is the mean over all its rows, gradients are summed, and every
process then makes the same update. Dense gradients travel as one buffer; of the embedding tables only the rows that a
process touched, each summed before it is sent. Batch norms read each process's own rows; their running statistics are
averaged after each step.
"""

import ctypes
import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmoe.data.batch import Batch
from mmoe.data.order import Shard
from mmoe.errors import ConfigError, TrainingError
from mmoe.train.device import compute_device, own_gpu
from mmoe.train.objective import Losses, Part
from mmoe.train.optim import Optimizer, sum_by_row

PATIENCE = timedelta(hours=24)
"""How long a process waits for one that is still at work; one that died is noticed at once."""
LAUNCHER = "MMOE_LAUNCHER_PID"
"""The environment's name for the process that became torchrun."""
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step's batch is over all processes, and this one's part of it."""

    rows: int
    part: Part | None
    """None where there is a single process."""
    asked: bool
    """What the first process asked all to do after the step."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """One of `world` processes. With a world of one nothing is sent."""

    rank: int = 0
    world: int = 1
    gpu: torch.device | None = None
    """This one's own, among several processes."""
    shard_rows: int = 0
    """Tables of at least so many rows are shared out over the processes; 0: each process holds all tables."""

    @property
    def leads(self) -> bool:
        """The first process alone writes, tells and registers."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """What this process computes on."""
        return compute_device() if self.world == 1 else self.gpu or torch.device("cpu")

    @property
    def apart_from(self) -> int:
        """Tables of at least so many rows are shared out; 0: none."""
        return max(self.shard_rows, self.world**2) if self.world > 1 and self.shard_rows else 0

    @property
    def shard(self) -> Shard:
        return Shard(rank=self.rank, world=self.world)

    def batch_size(self, together: int) -> int:
        """Rows that each process takes. Raises ConfigError where they cannot be shared evenly."""
        if together % self.world:
            raise ConfigError(f"batch_size={together}: give a multiple of the {self.world} processes in params.yaml.")
        return together // self.world

    def step(self, batch: Batch | None, heads: int, *, ask: bool) -> Step:
        """Of all processes' batches; a process whose rows are used up has none."""
        rows = 0 if batch is None else len(batch)
        if self.world == 1:
            return Step(rows=rows, part=None, asked=ask)
        labelled_T = torch.zeros(heads) if batch is None else (~batch.labels_BH.isnan()).sum(dim=0).cpu()
        own = torch.cat([labelled_T.double(), torch.tensor([rows, ask and self.leads], dtype=torch.float64)])
        total = self.summed(own)
        share = own / total.clamp(min=1)
        part = Part(labelled_T=share[:heads].float(), rows=float(share[heads]))
        return Step(rows=int(total[heads]), part=part, asked=bool(total[-1]))

    def summed(self, tensor: Tensor) -> Tensor:
        """Over all processes, the same bits on each."""
        if self.world == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def gathered(self, tensor: Tensor) -> list[Tensor]:
        """Each process's tensor, in their order; they must be of one shape."""
        if self.world == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(found, tensor.contiguous())
        return found

    def average(self, tensors: Sequence[Tensor], share: float) -> None:
        """Put in the place of each its mean over all processes, weighted by their shares of a step's rows."""
        if self.world == 1 or not tensors:
            return
        means = self.summed(torch.cat([tensor.flatten() for tensor in tensors]) * share)
        for tensor, mean in zip(tensors, torch.split(means, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def send(self, tensor: Tensor) -> None:
        """To the first process, which waits for it."""
        dist.send(tensor, 0)

    def received(self, tensor: Tensor, rank: int) -> Tensor:
        """The tensor, filled with what that process sends."""
        dist.recv(tensor, rank)
        return tensor

    def agreed(self, asked: bool) -> bool:
        """What the first process says."""
        return bool(self.gathered(torch.tensor([asked], dtype=torch.int64))[0])

    def wait(self) -> None:
        """Until all processes are here."""
        self.agreed(True)

    def leader_first(self, work: Callable[[], Found]) -> Found:
        """The first process does the work, then the others, who find what it left."""
        if self.leads:
            found = work()
            self.wait()
            return found
        self.wait()
        return work()

    def sum_gradients(self, optimizer: Optimizer) -> None:
        """Put the sum over all processes in the place of each gradient."""
        if self.world == 1:
            return
        self._sum_dense(list(optimizer.dense.values()))
        for table in optimizer.adagrad.parameters.values():
            self._sum_rows(table)

    def _sum_dense(self, parameters: list[nn.Parameter]) -> None:
        """A parameter without a gradient on every process keeps none: it takes no part in the network's losses."""
        present = parameters[0].new_tensor([parameter.grad is not None for parameter in parameters])
        gradients = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in parameters]
        total = self.summed(torch.cat([present, *gradients]))
        sizes = [parameter.numel() for parameter in parameters]
        present, by_parameter = total[: len(sizes)], torch.split(total[len(sizes) :], sizes)
        for flag, parameter, gradient in zip(present.tolist(), parameters, by_parameter, strict=True):
            parameter.grad = gradient.view_as(parameter) if flag else None

    def _sum_rows(self, table: nn.Parameter) -> None:
        """The rows stand one process after another; `sum_by_row` then sums in the same order on each."""
        width = table.shape[1]
        if table.grad is None:
            rows, values = table.new_empty(0, dtype=torch.int64), table.new_empty(0, width)
        else:
            rows, values = sum_by_row(table.grad)
        counts = [int(count) for count in self.gathered(torch.tensor([len(rows)]))]
        longest = max(counts)
        if not longest:
            return
        all_rows = self.gathered(nn.functional.pad(rows, (0, longest - len(rows))))
        all_values = self.gathered(nn.functional.pad(values, (0, 0, 0, longest - len(rows))))
        kept = [(each[:count], value[:count]) for each, value, count in zip(all_rows, all_values, counts, strict=True)]
        indices = torch.cat([each for each, _ in kept]).unsqueeze(0)
        summands = torch.cat([value for _, value in kept])
        table.grad = torch.sparse_coo_tensor(indices, summands, table.shape, check_invariants=False)

    def total(self, losses: Losses) -> Losses:
        """The losses of the whole step, of each process's part of them, on the CPU."""
        if self.world == 1:
            return losses
        own = torch.cat([losses.total.detach().view(1), losses.distillation.view(1), losses.task])
        summed = self.summed(own.cpu())
        return Losses(total=summed[0], distillation=summed[1], task=summed[2:])

    def refuse_difference(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises TrainingError unless all processes hold the same bits."""
        if self.world == 1:
            return
        total = hashlib.sha256()
        for name in sorted(tensors):
            total.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        digests = self.gathered(torch.frombuffer(bytearray(total.digest()), dtype=torch.uint8))
        if any(not torch.equal(digests[0], other) for other in digests[1:]):
            raise TrainingError(
                f"the {self.world} processes hold different weights; run them on machines of one kind, with one "
                "version of PyTorch."
            )


ALONE = Processes()


@contextmanager
def processes(shard_rows: int = 0) -> Iterator[Processes]:
    """This process among those that torchrun started; ALONE where it did not start any."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    die_with_parent()
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    gpu = own_gpu(int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", world)))
    if gpu is not None:
        torch.cuda.set_device(gpu)
    dist.init_process_group("gloo" if gpu is None else "cpu:gloo,cuda:nccl", timeout=PATIENCE)
    try:
        yield Processes(rank=rank, world=world, gpu=gpu, shard_rows=shard_rows)
    finally:
        dist.destroy_process_group()


def die_with_parent() -> None:
    """torchrun's workers outlive it when it is killed; a training that is run again must not meet them at work. Raises
    TrainingError where it died before this one had got so far.
    """
    set_parent_death_signal = 1
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)
    parent = str(os.getppid())
    if os.environ.get(LAUNCHER, parent) != parent:
        raise TrainingError(f"torchrun (process {os.environ[LAUNCHER]}) has died; run the training again.")
