import pytest
import torch
from torch import nn

from mmoe.model.linear import NARROW, Linear, aligned


def test_a_batched_layer_equals_a_loop_over_torch_linear() -> None:
    layer = Linear(3, 5, 4)
    nn.init.normal_(layer.bias)
    x = torch.randn(3, 7, 5)
    expected = torch.stack([nn.functional.linear(x[c], layer.weight[c].T, layer.bias[c, 0]) for c in range(3)])
    torch.testing.assert_close(layer(x), expected)


def test_one_input_for_all_copies_equals_the_same_input_repeated() -> None:
    for layer in (Linear(3, 5, 4), Linear(3, 5, 4, bias=False)):
        x = torch.randn(7, 5)
        torch.testing.assert_close(layer(x), layer(x.expand(3, -1, -1)))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("outputs", "bias"), [(4, True), (4, False), (NARROW, True)])
def test_gradients_of_one_input_for_all_copies_are_those_of_the_input_repeated(
    outputs: int, bias: bool, relu: bool
) -> None:
    layer, x = Linear(3, 5, outputs, bias=bias), torch.randn(7, 5, requires_grad=True)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    shared, repeated = layer(x, relu=relu), layer(x.expand(3, -1, -1), relu=relu)
    torch.testing.assert_close(shared, repeated)
    assert (shared >= 0).all() == relu
    weights = torch.randn_like(shared)
    read = (x, *layer.parameters())
    found, expected = (torch.autograd.grad((y * weights).sum(), read) for y in (shared, repeated))
    torch.testing.assert_close(found, expected)
    assert shared.is_contiguous()


def test_a_layer_computes_in_the_dtype_of_its_input_and_its_gradients_stay_float32() -> None:
    layer = Linear(2, 5, 4)
    y = layer(torch.randn(2, 7, 5, dtype=torch.bfloat16))
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_the_copies_start_different_and_within_the_xavier_bound() -> None:
    weight = Linear(2, 50, 40).weight
    assert not torch.equal(weight[0], weight[1])
    assert weight.abs().max() <= (6 / 90) ** 0.5
    assert weight.abs().max() > 0.9 * (6 / 90) ** 0.5


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("beyond", [1, 3])
@pytest.mark.parametrize("copies", [(), (2,)], ids=["shared", "apart"])
def test_a_one_and_zeros_beyond_the_inputs_change_nothing_and_outputs_may_be_followed_by_zeros(
    bias: bool, beyond: int, copies: tuple[int, ...]
) -> None:
    layer, x = Linear(2, 5, 4, bias=bias), torch.randn(*copies, 7, 5)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    one_and_zeros = torch.zeros(*copies, 7, beyond)
    one_and_zeros[..., 0] = 1
    wide, narrow = layer(torch.cat([x, one_and_zeros], dim=-1), outputs=6), layer(x)
    torch.testing.assert_close(wide[..., :4], narrow)
    assert (wide[..., 4:] == 0).all()
    leaves = list(layer.parameters())
    found, expected = (torch.autograd.grad(y.sin().sum(), leaves) for y in (wide, narrow))
    torch.testing.assert_close(found, expected)


def test_the_next_multiple_of_a_cache_line() -> None:
    assert [aligned(width) for width in (1, 16, 490, 496)] == [16, 16, 496, 496]
