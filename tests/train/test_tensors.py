"""mmoe.train.tensors: the files of the safetensors library, byte for byte, without a tensor in memory twice."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmoe.errors import CorruptionError
from mmoe.train import tensors as module
from mmoe.train.tensors import read_rows, read_tensors, spans, write_tensors


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "b.weight": torch.randn(7, 3, generator=generator),
        "a.weight": torch.randn(3, 7, generator=generator).T,
        "step": torch.tensor(3.0),
        "empty": torch.empty(0, 4),
        "sums": torch.randn(5, dtype=torch.float64, generator=generator),
        "rows": torch.arange(9),
        "random": torch.randint(0, 255, (2, 3), dtype=torch.uint8, generator=generator),
        "größe": torch.randn(4, generator=generator).bfloat16(),
        "halves": torch.randn(4, generator=generator).half(),
        "counts": torch.arange(3, dtype=torch.int32),
        "small": torch.arange(3, dtype=torch.int8),
        "mask": torch.tensor([True, False, True]),
    }


@pytest.mark.parametrize("piece", [1 << 24, 8])
def test_a_file_is_the_librarys_byte_for_byte(tensors, tmp_path, monkeypatch, piece) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", piece)
    write_tensors(tmp_path / "ours", tensors, {"made": 'by "us"'})
    save_file({name: each.contiguous() for name, each in tensors.items()}, tmp_path / "theirs", {"made": 'by "us"'})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    found = load_file(tmp_path / "ours")
    assert all(torch.equal(found[name], each) for name, each in tensors.items())
    assert read_tensors(tmp_path / "ours", without=frozenset(["step"])).keys() == tensors.keys() - {"step"}


def test_rows_are_read_into_their_place(tensors, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 24)
    write_tensors(tmp_path / "x", tensors)
    into = torch.zeros(5, 3)
    read_rows(tmp_path / "x", "b.weight", into, first=2, rows=7)
    assert torch.equal(into, tensors["b.weight"][2:])
    assert list(spans(5, into)) == [(0, 2), (2, 4), (4, 5)]


def test_rows_of_another_table_or_of_none_are_corruption(tensors, tmp_path) -> None:
    write_tensors(tmp_path / "x", tensors)
    with pytest.raises(CorruptionError, match=r"b\.weight is \[7, 3\], not \[8, 3\]"):
        read_rows(tmp_path / "x", "b.weight", torch.zeros(5, 3), first=2, rows=8)
    with pytest.raises(CorruptionError, match="no readable c"):
        read_rows(tmp_path / "x", "c", torch.zeros(5, 3), first=2, rows=8)
