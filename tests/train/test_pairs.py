import pytest
import torch
from torch import Tensor

from mmoe.train.pairs import Groups, ascending_on_cpu, ascending_on_gpu, grouped, logistic_of_pairs, ranks

STANDING = Groups(index_B=torch.tensor([0, 0, 0, 0, 1, 3, 3]), sizes=(4, 1, 0, 2))


def slow_ranks(values: Tensor, groups: Groups) -> list[float]:
    index = groups.index_B.tolist()
    paired = sum(index.count(group) > 1 for group in index)
    ranks = []
    for value, group in zip(values.tolist(), index, strict=True):
        others = [other for other, its in zip(values.tolist(), index, strict=True) if its == group]
        above = sum(other < value for other in others) - sum(other > value for other in others)
        ranks.append(above / max(1, len(others) - 1) / paired)
    return ranks


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([3.0, 1.0, -7.0, 2.0, 9.0, 3.0, -4.0], id="no ties"),
        pytest.param([3.0, 1.0, 3.0, 2.0, 2.0, 3.0, 3.0], id="ties, also across groups"),
        pytest.param([0.0] * 7, id="all alike"),
        pytest.param([-0.0, 0.0, -1.0, 1.0, 0.0, -0.0, 0.0], id="zeros of either sign"),
        pytest.param([1e38, -1e38, 1e-45, -1e-45, 0.0, -torch.inf, torch.inf], id="extremes"),
    ],
)
def test_ranks_are_of_each_head_within_each_group(values: list[float]) -> None:
    heads = torch.tensor([values, values[::-1], [1.0] * 7])
    expected = [slow_ranks(head, STANDING) for head in heads]
    torch.testing.assert_close(ranks(heads, STANDING), torch.tensor(expected))
    torch.testing.assert_close(ranks(heads[1:2], STANDING), torch.tensor(expected[1:2]))


def test_ranks_of_many_random_rows_are_those_of_the_slow_reference() -> None:
    generator = torch.Generator().manual_seed(5)
    groups, _ = grouped(torch.randint(3, (400,), generator=generator))
    values = torch.randn(2, 400, generator=generator)
    values[1] = (10 * values[1]).round()
    torch.testing.assert_close(ranks(values, groups), torch.tensor([slow_ranks(head, groups) for head in values]))


def test_what_a_gpu_sorts_is_what_numpy_sorts() -> None:
    values = torch.randn(3, 7, generator=torch.Generator().manual_seed(2))
    values[1] = (2 * values[1]).round()
    of_gpu, of_cpu = (ascending(values, STANDING.sizes) for ascending in (ascending_on_gpu, ascending_on_cpu))
    for ours, reference in zip(of_gpu, of_cpu, strict=True):
        assert torch.equal(ours, reference)
    rows, ordered = of_cpu
    assert rows[:, 4].tolist() == [4] * 3, "the only row of its group"
    assert (ordered[:, 1:4] >= ordered[:, :3]).all() and (ordered[:, 6] >= ordered[:, 5]).all()
    within = values.gather(1, rows.long())
    assert (within[:, 1:4] >= within[:, :3]).all()


def test_ranks_leave_the_values_as_they_are() -> None:
    values = torch.tensor([[2.0, -1.0, -0.0, 5.0, 3.0, 0.0, 1.0]])
    before = values.clone()
    ranks(values, STANDING)
    assert torch.equal(values.view(torch.int32), before.view(torch.int32))


def test_rows_are_put_group_by_group_in_their_order() -> None:
    groups, rows = grouped(torch.tensor([70, -3, 70, 5, -3, 70]))
    assert rows.tolist() == [1, 4, 3, 0, 2, 5]
    assert groups.index_B.tolist() == [0, 0, 1, 2, 2, 2] and list(groups.sizes) == [2, 1, 3]


def test_slopes_of_pairs_are_the_gradient_of_their_loss() -> None:
    student, teacher = torch.randn(2, 2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    temperature = torch.tensor([1.0, 2.5], dtype=torch.float64)
    _, slopes = logistic_of_pairs(student, teacher, temperature, STANDING)
    step = 1e-6
    for head in range(2):
        for row in range(7):
            moved = torch.zeros_like(student)
            moved[head, row] = step
            up, down = (logistic_of_pairs(student + m, teacher, temperature, STANDING)[0] for m in (moved, -moved))
            assert (up - down)[head].item() / (2 * step) == pytest.approx(slopes[head, row].item(), abs=1e-8)
