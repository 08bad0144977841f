"""Where a training computes: on a GPU where there is one, fed ahead from page-locked memory."""

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import pyarrow as pa
import torch

from mmoe.data.batch import Batch
from mmoe.model.inputs import Inputs
from mmoe.model.network import Network, Outputs

Precision = Literal["bfloat16", "float32"]
CPU = torch.device("cpu")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""mallopt(3)'s names."""
LARGEST_ON_HEAP, KEPT_FREE = 32 << 20, (1 << 31) - 1


def keep_freed_memory() -> None:
    """Have glibc keep what one step frees for the next, of whatever thread. Given back to the kernel, its pages would
    be faulted in anew at each step, which takes a tenth of the step's time. Where there is no glibc, nothing changes.

    Arrow reads by an allocator of its own: of its choices jemalloc keeps the least, 30 MB less than the default.
    """
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_THRESHOLD, LARGEST_ON_HEAP)
    mallopt(M_TRIM_THRESHOLD, KEPT_FREE)


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Compute on this many threads inside the block; 0 leaves the choice to PyTorch."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compute_device() -> torch.device:
    """The GPU, or the CPU where there is none, or CUDA_VISIBLE_DEVICES hides it."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def own_gpu(place: int, processes: int) -> torch.device | None:
    """That of the process at this place among those of its machine; None where the machine has not one for each."""
    enough = torch.cuda.is_available() and torch.cuda.device_count() >= processes
    return torch.device("cuda", place) if enough else None


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 arithmetic; emulating it is 10 to 20 times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def usable_precision(wanted: Precision, device: torch.device = CPU) -> Precision:
    """float32 where the device has no bfloat16 arithmetic: emulating it is 10 to 20 times slower than not using it."""
    return wanted if native_bfloat16(device) else "float32"


def outputs_in(network: Network, inputs: Inputs, *, bfloat16: bool) -> Outputs:
    """The network's outputs for rows on its device, in bfloat16 where autocast says so, or in float32."""
    with torch.autocast(inputs.numeric_BN.device.type, torch.bfloat16, enabled=bfloat16):
        return network.outputs(inputs)


def fed(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on the device, each copied while the one before is computed with."""
    if device.type != "cuda":
        yield from batches
        return
    copying, ready = torch.cuda.Stream(device), None  # type: ignore[no-untyped-call]
    for batch in batches:
        with torch.cuda.stream(copying):
            ahead = batch.pinned().to(device)
        if ready is not None:
            yield ready
        ready = _arrived(ahead, copying)
    if ready is not None:
        yield ready


def _arrived(batch: Batch, copying: torch.cuda.Stream) -> Batch:
    """What is computed from now on waits for the copy, and the memory is not given away before it is used."""
    computing = torch.cuda.current_stream(batch.words.device)
    computing.wait_stream(copying)
    for tensor in (batch.words, *batch.bag_values, *batch.bag_offsets):
        tensor.record_stream(computing)
    return batch
