import torch

from mmoe.model.gates import mixed


def test_a_mixture_is_the_sum_of_the_experts_by_their_weights() -> None:
    gates, experts = torch.rand(2, 5, 3), torch.randn(3, 5, 4)
    by_hand = torch.zeros(2, 5, 4)
    for head, row, expert in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(3)).tolist():
        by_hand[head, row] += gates[head, row, expert] * experts[expert, row]
    torch.testing.assert_close(mixed(gates, experts), by_hand)


def test_the_gradients_of_a_mixture_are_those_of_finite_differences() -> None:
    gates = torch.rand(2, 5, 3, dtype=torch.float64, requires_grad=True)
    experts = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mixed, (gates, experts))
