"""mmoe.model.table_rows, beside what PyTorch's own indexing gives."""

import pytest
import torch
import torch.nn.functional as F

from mmoe.model.table_rows import look_up, put, taken


@pytest.mark.parametrize("shape", [(40,), (8, 5), (0,), (0, 3)])
def test_a_look_up_and_its_sparse_gradient_are_those_of_a_sparse_embedding(shape: tuple[int, ...]) -> None:
    table, rows = torch.randn(9, 4, requires_grad=True), torch.randint(9, shape)
    targets, gradients = torch.randn(*shape, 4), []
    assert torch.equal(look_up(table, rows), F.embedding(rows, table))
    for found in (look_up(table, rows), F.embedding(rows, table, sparse=True)):
        table.grad = None
        (found - targets).square().sum().backward()
        assert table.grad.is_sparse
        gradients.append(table.grad.to_dense())
    assert torch.equal(*gradients)


def test_a_row_beyond_the_table_is_refused() -> None:
    for row in (9, -1):
        with pytest.raises((IndexError, RuntimeError)):
            look_up(torch.randn(9, 4), torch.tensor([row]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 3, 16])
def test_rows_put_into_a_table_are_taken_from_it_and_the_others_stay(dtype: torch.dtype, width: int) -> None:
    table = torch.randn(20, width, dtype=dtype)
    expected, rows, values = table.clone(), torch.tensor([3, 19, 0]), torch.randn(3, width, dtype=dtype)
    expected[rows] = values
    put(table, rows, values)
    assert torch.equal(table, expected) and torch.equal(taken(table, rows), values)
    put(table, rows[:0], values[:0])
    assert torch.equal(table, expected) and taken(table, rows[:0]).shape == (0, width)
