"""mmoe.train.device: one training code for the CPU and for a GPU."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from mmoe.data.batch import Batch
from mmoe.data.order import Position
from mmoe.data.rows import Layout
from mmoe.model.network import Network, NetworkSpec, build_network
from mmoe.model_config import ExpertConfig, ModelConfig
from mmoe.steps.peers import LABELS, model_config
from mmoe.train.device import compute_device, cpu_threads, fed, native_bfloat16, outputs_in, own_gpu
from mmoe.train.distributed import Processes
from mmoe.train.gpu_benchmark import gpu_rate, product_rate
from mmoe.train.objective import Objective
from mmoe.train.optim import Optimizer

HEADS = ("click", "hide")
CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


def spec() -> NetworkSpec:
    experts = tuple(ExpertConfig(kind=kind, hidden=(16, 8)) for kind in ("dcnv2", "masknet", "finalmlp", "mlp"))
    config = ModelConfig(experts=experts, embedding_dim=4, gate_per_view_type=True, tower_per_view_type=True)
    return NetworkSpec(
        categorical=((50, 4), (9, 2)), bags=((7, 4),), numeric=3, view_types=2, heads=HEADS, config=config
    )


def batch(rows: int) -> Batch:
    generator = torch.Generator().manual_seed(7)
    layout = Layout(categorical=2, numeric=3, heads=2)
    words = torch.randint(8, (rows, layout.width), generator=generator, dtype=torch.int32)
    words[:, layout.view_type_at] %= 2
    numbers = torch.rand(rows, layout.width - layout.numeric_at, generator=generator).round()
    words[:, layout.numeric_at :] = numbers.view(torch.int32)
    return Batch(
        layout=layout,
        words=words,
        after=Position(),
        bag_values=(torch.randint(8, (rows,), generator=generator),),
        bag_offsets=(torch.arange(rows),),
    )


def test_no_part_of_a_step_stays_on_the_cpu_when_the_rest_is_elsewhere(monkeypatch) -> None:
    """On the meta device, whose tensors have a shape and no values: a mixture with the CPU's raises."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # there is none for this device
    monkeypatch.setattr(Network, "dtype", lambda *_: torch.float32)
    with torch.device("meta"):
        network = build_network(spec(), seed=1).train()
        layout = Layout(categorical=2, numeric=3, heads=2)
        words, rows = torch.zeros(300, layout.width, dtype=torch.int32), torch.arange(300)
    moved = Batch(layout=layout, words=words, after=Position(), bag_values=(rows,), bag_offsets=(rows,))
    losses = Objective(heads=HEADS, head_weights={}, balance=0.1)(
        outputs_in(network, moved.inputs, bfloat16=False), moved
    )
    assert losses.total.device.type == losses.task.device.type == "meta"
    dense = [parameter for name, parameter in network.named_parameters() if not name.startswith("embeddings.")]
    assert {gradient.device.type for gradient in torch.autograd.grad(losses.total, dense)} == {"meta"}


def test_each_process_has_a_gpu_of_its_own_where_the_machine_has_as_many(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [own_gpu(place, 2) for place in (0, 1)] == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert own_gpu(0, 3) is None
    assert Processes(world=2, gpu=own_gpu(1, 2)).device == torch.device("cuda", 1)
    assert (Processes().device.type, Processes(world=3).device.type) == ("cuda", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert own_gpu(1, 2) is None and Processes().device == CPU


def test_a_step_in_bfloat16_is_close_to_one_in_float32_and_leaves_float32_weights() -> None:
    """Emulated where the processor has no such arithmetic, which changes the speed alone."""
    found = []
    for bfloat16 in (False, True):
        network = build_network(spec(), seed=1).train()
        optimizer = Optimizer(network, dense_lr=1e-2, embedding_lr=0.1, weight_decay=0.0, clip_norm=10.0)
        for _ in range(5):
            optimizer.zero_grad()
            losses = Objective(heads=HEADS, head_weights={})(
                outputs_in(network, batch(300).inputs, bfloat16=bfloat16), batch(300)
            )
            losses.total.backward()
            optimizer.step()
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
        found.append(losses.task)
    torch.testing.assert_close(found[1], found[0], rtol=0.02, atol=0)
    assert not torch.equal(found[1], found[0])


def test_on_the_cpu_batches_pass_as_they_are() -> None:
    batches = [batch(3), batch(4)]
    assert [one is other for one, other in zip(fed(batches, CPU), batches, strict=True)] == [True, True]
    assert compute_device().type in ("cpu", "cuda") and isinstance(native_bfloat16(CPU), bool)


def test_the_rate_of_a_product_counts_two_operations_a_multiplication() -> None:
    with cpu_threads(1):  # two threads wait for each other where other work keeps the cores busy
        assert 1e8 < product_rate(CPU, torch.float32, size=128) < 1e13


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("model", LABELS)
def test_a_gpu_trains_to_the_cpus_logits(model: str, tmp_path: Path) -> None:
    rate = gpu_rate(tmp_path, model, model_config(model), LABELS[model], rows=131_072)
    assert rate.equal and rate.share > 0.05


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_memory_that_one_step_frees_is_there_for_the_next() -> None:
    """In a process of its own, whose allocator nothing else has tuned: 20 tensors of 8 MB, freed, made again."""
    code = """
import resource, torch
from mmoe.train.device import keep_freed_memory
keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = [torch.ones(1 << 21) for _ in range(20)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), faults())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = map(int, done.stdout.split())
    assert first > 10_000 and second < first / 10  # the tail of one tensor may lie anew
