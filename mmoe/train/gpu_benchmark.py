"""A GPU beside the CPU: the same trainings to the same weights, and its speed over what its arithmetic allows."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmoe.data.batch import Batch
from mmoe.data.benchmark import NUMBERS, workload_schema, write_workload
from mmoe.data.moments import Moment
from mmoe.data.stream import stream_batches
from mmoe.model.costs import part_costs
from mmoe.model.network import Network, build_network
from mmoe.model_config import ModelConfig
from mmoe.parsing import Frozen
from mmoe.schema import Schema
from mmoe.train.device import fed, native_bfloat16, outputs_in
from mmoe.train.objective import Objective
from mmoe.train.optim import Optimizer
from mmoe.train.spec import network_spec

STEPS_COMPARED = 20
TOLERANCE = 2e-3
"""Largest difference of two logits after 20 float32 steps: sums in another order, no more."""


class GpuRate(Frozen):
    model: str
    device: str
    precision: str
    difference: float
    """Largest difference of a logit after the same 20 steps in float32 on either device."""
    equal: bool
    ex_s: float
    """Rows a second from Parquet to updated weights."""
    floor_ex_s: float
    """What the device's measured rate of matrix products alone would allow."""
    share: float
    """ex_s over floor_ex_s."""


def gpu_rate(folder: Path, name: str, config: ModelConfig, labels: Sequence[str], *, rows: int) -> GpuRate:
    """Needs a CUDA device. Raises RuntimeError without one."""
    gpu, schema = torch.device("cuda"), workload_schema(labels)
    batches = list(workload_batches(folder, schema, rows))
    trained = {
        device: steps(schema, config, batches[:STEPS_COMPARED], torch.device(device)) for device in ("cpu", "cuda")
    }
    with torch.no_grad():
        found = {
            device: torch.stack(list(network(batches[-1].to(torch.device(device)).inputs).values())).cpu()
            for device, network in trained.items()
        }
    difference = float((found["cpu"] - found["cuda"]).abs().max())
    bfloat16 = native_bfloat16(gpu)
    steps(schema, config, batches[:STEPS_COMPARED], gpu, bfloat16=bfloat16)
    torch.cuda.synchronize()
    started = time.perf_counter()
    steps(schema, config, batches, gpu, bfloat16=bfloat16)
    torch.cuda.synchronize()
    ex_s = sum(map(len, batches)) / (time.perf_counter() - started)
    flops = 3 * sum(part.flops for part in part_costs(network_spec(schema, config)))
    floor = product_rate(gpu, torch.bfloat16 if bfloat16 else torch.float32) / flops
    return GpuRate(
        model=name,
        device=torch.cuda.get_device_name(gpu),
        precision="bfloat16" if bfloat16 else "float32",
        difference=difference,
        equal=difference <= TOLERANCE,
        ex_s=ex_s,
        floor_ex_s=floor,
        share=ex_s / floor,
    )


def workload_batches(folder: Path, schema: Schema, rows: int) -> list[Batch]:
    moments = {name: Moment() for name in NUMBERS}
    partitions = write_workload(folder, days=1, rows=rows)
    return list(stream_batches(partitions, schema, moments, batch_size=4096, shuffle_rows=100_000))


def steps(
    schema: Schema, config: ModelConfig, batches: Sequence[Batch], device: torch.device, *, bfloat16: bool = False
) -> Network:
    """A new network after one pass over the batches, the same start on every device."""
    network = build_network(network_spec(schema, config), seed=1).to(device).train()
    optimizer = Optimizer(network, dense_lr=1e-3, embedding_lr=0.05, weight_decay=0.0, clip_norm=10.0)
    objective = Objective(heads=schema.heads, head_weights={})
    for batch in fed(batches, device):
        optimizer.zero_grad()
        losses = objective(outputs_in(network, batch.inputs, bfloat16=bfloat16), batch)
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


def logits(network: Network, batch: Batch) -> Tensor:
    """(T, B) of every head."""
    with torch.no_grad():
        return torch.stack(list(network(batch.inputs).values()))


def product_rate(device: torch.device, dtype: torch.dtype, size: int = 4096) -> float:
    """FLOP/s of one matrix product of `size` cubed on the device, the best of ten."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
