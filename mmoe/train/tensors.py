"""safetensors files, written and read piece by piece: no tensor is in memory a second time for its file's sake, and one
that several processes share out never whole. The library reads them: a length, a JSON header, the tensors' bytes
(https://github.com/huggingface/safetensors#format), in the library's own order.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmoe.errors import CorruptionError

PIECE_BYTES = 1 << 24
TYPES = {
    torch.int64: "I64", torch.float64: "F64", torch.float32: "F32", torch.int32: "I32", torch.bfloat16: "BF16",
    torch.float16: "F16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""What the format calls each, in the order in which the library writes them."""


class Pieces(Protocol):
    """A tensor that is not in one place."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def pieces(self) -> Iterator[Tensor]:
        """Its rows in order, on the CPU. All processes that hold some must go through them, each tensor in turn."""


Tensors = Mapping[str, Tensor | Pieces]


def write_tensors(path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None) -> None:
    """Write the file; with `Pieces` among the tensors, while the other processes `take_part`."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in in_order(tensors):
        begin, end = end, end + size(tensors[name])
        header[name] = {
            "dtype": TYPES[tensors[name].dtype], "shape": list(tensors[name].shape), "data_offsets": [begin, end],
        }  # fmt: skip
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in in_order(tensors):
            for piece in pieces(tensors[name]):
                file.write(piece.reshape(-1).view(torch.uint8).numpy().data)


def take_part(tensors: Tensors) -> None:
    """Give the process that writes these tensors what this one holds of them."""
    for name in in_order(tensors):
        if not isinstance(tensors[name], Tensor):
            for _ in pieces(tensors[name]):
                pass


def in_order(tensors: Tensors) -> list[str]:
    types = list(TYPES)
    return sorted(tensors, key=lambda name: (types.index(tensors[name].dtype), name))


def size(tensor: Tensor | Pieces) -> int:
    """In bytes."""
    return torch.Size(tensor.shape).numel() * tensor.dtype.itemsize


def pieces(tensor: Tensor | Pieces) -> Iterator[Tensor]:
    if not isinstance(tensor, Tensor):
        yield from tensor.pieces()
    elif tensor.ndim == 0:
        yield tensor.detach().cpu()
    else:
        for first, last in spans(len(tensor), tensor):
            yield tensor.detach()[first:last].cpu().contiguous()


def spans(rows: int, of: Tensor) -> Iterator[tuple[int, int]]:
    """Where pieces of so many rows like those of a tensor begin and end."""
    width = max(1, of[:1].numel() * of.dtype.itemsize)
    step = max(1, PIECE_BYTES // width)
    for first in range(0, rows, step):
        yield first, min(first + step, rows)


def read_tensors(path: Path, *, without: frozenset[str] = frozenset()) -> dict[str, Tensor]:
    """Those of a file but a few. Raises CorruptionError."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name not in without}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CorruptionError(f"{path}: not a readable safetensors file; restore it from a copy.") from error


@torch.no_grad()
def read_rows(path: Path, name: str, into: Tensor, *, first: int, rows: int) -> None:
    """Fill `into` with the rows from `first` on of a tensor of `rows`. Raises CorruptionError."""
    try:
        for begin, end in spans(len(into), into):
            with safe_open(path, framework="pt") as file:  # anew for each piece, whose pages are then given back
                whole = file.get_slice(name)
                if list(whole.get_shape()) != [rows, *into.shape[1:]]:
                    raise CorruptionError(f"{path}: {name} is {whole.get_shape()}, not {[rows, *into.shape[1:]]}.")
                into[begin:end].copy_(whole[first + begin : first + end])
    except (OSError, SafetensorError) as error:
        raise CorruptionError(f"{path}: no readable {name}; restore it from a copy.") from error
