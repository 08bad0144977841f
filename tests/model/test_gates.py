import torch

from mmoe.model.gates import mixed


def test_a_mixture_is_the_sum_of_the_experts_by_their_weights() -> None:
    gates, experts = torch.rand(2, 5, 3), torch.randn(3, 5, 4)
    by_hand = torch.zeros(2, 5, 4)
    for head, row, expert in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(3)).tolist():
        by_hand[head, row] += gates[head, row, expert] * experts[expert, row]
    torch.testing.assert_close(mixed(gates, experts), by_hand)


def test_a_mixture_of_bfloat16_experts_is_summed_in_float32_and_rounded_once() -> None:
    gates, experts = torch.rand(2, 50, 6), torch.randn(6, 50, 4).bfloat16()
    gates.requires_grad_(), experts.requires_grad_()
    exact, weights = mixed(gates, experts.float()), torch.randn(2, 50, 4).bfloat16()
    found = mixed(gates, experts)
    assert torch.equal(found, exact.bfloat16())
    of_gates, of_experts = torch.autograd.grad((found * weights).sum(), (gates, experts))
    exact_of_gates, exact_of_experts = torch.autograd.grad((exact * weights.float()).sum(), (gates, experts))
    torch.testing.assert_close(of_gates, exact_of_gates)
    assert torch.equal(of_experts, exact_of_experts)


def test_the_gradients_of_a_mixture_are_those_of_finite_differences() -> None:
    gates = torch.rand(2, 5, 3, dtype=torch.float64, requires_grad=True)
    experts = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mixed, (gates, experts))
