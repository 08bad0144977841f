"""mmoe.model.norms: every copy as torch's own layer normalises it."""

import pytest
import torch
from torch import nn

from mmoe.model.mlp import Mlp
from mmoe.model.norms import BatchNorm, LayerNorm, running_statistics


def test_layer_norm_equals_a_loop_over_torch_layer_norm() -> None:
    norm = LayerNorm(2, 6)
    nn.init.normal_(norm.gain)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 4, 6)
    expected = torch.stack([nn.functional.layer_norm(x[c], (6,), norm.gain[c, 0], norm.bias[c, 0]) for c in range(2)])
    torch.testing.assert_close(norm(x), expected)


def one_by_one(norm: BatchNorm) -> list[nn.BatchNorm1d]:
    """torch's own layer for each copy, with that copy's parameters and statistics."""
    layers = []
    for copy in range(len(norm.mean)):
        layer = nn.BatchNorm1d(norm.mean.shape[1]).to(norm.mean.dtype)
        layer.weight.data, layer.bias.data = norm.gain.data[copy, 0].clone(), norm.bias.data[copy, 0].clone()
        layer.running_mean, layer.running_var = norm.mean[copy].clone(), norm.variance[copy].clone()
        layers.append(layer)
    return layers


@pytest.fixture
def norm() -> BatchNorm:
    torch.manual_seed(3)
    norm = BatchNorm(3, 5).double()
    nn.init.normal_(norm.gain)
    nn.init.normal_(norm.bias)
    nn.init.normal_(norm.mean)
    nn.init.uniform_(norm.variance, 0.5, 2.0)
    return norm


def test_batch_norm_equals_a_loop_over_torch_batch_norm_step_by_step(norm) -> None:
    layers, steps = one_by_one(norm), [2 + 3 * torch.randn(3, rows, 5, dtype=torch.float64) for rows in (9, 2, 400)]
    for x in steps:
        ours, theirs = (x.clone().requires_grad_() for _ in range(2))
        found, expected = norm(ours), torch.stack([layer(theirs[c]) for c, layer in enumerate(layers)])
        torch.testing.assert_close(found, expected)
        weights = torch.randn_like(x)
        mine = torch.autograd.grad((found * weights).sum(), (ours, norm.gain, norm.bias))
        read = (theirs, *(layer.weight for layer in layers), *(layer.bias for layer in layers))
        of_x, *of_each = torch.autograd.grad((expected * weights).sum(), read)
        of_gain, of_bias = torch.stack(of_each[:3]).unsqueeze(1), torch.stack(of_each[3:]).unsqueeze(1)
        torch.testing.assert_close(mine, (of_x, of_gain, of_bias))
        torch.testing.assert_close(norm.mean, torch.stack([layer.running_mean for layer in layers]))
        torch.testing.assert_close(norm.variance, torch.stack([layer.running_var for layer in layers]))
    norm.eval()
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    torch.testing.assert_close(norm(x), torch.stack([layer.eval()(x[c]) for c, layer in enumerate(layers)]))


def test_in_evaluation_a_row_is_the_same_alone_and_statistics_stay(norm) -> None:
    before = [statistic.clone() for statistic in running_statistics(norm.eval())]
    x = torch.randn(3, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(norm(x)[:, 2:3], norm(x[:, 2:3]))
    assert all(torch.equal(old, new) for old, new in zip(before, running_statistics(norm), strict=True))


def test_a_step_of_one_row_is_normalised_by_the_running_statistics_and_moves_none(norm) -> None:
    x = torch.randn(3, 1, 5, dtype=torch.float64)
    before = [statistic.clone() for statistic in running_statistics(norm)]
    trained = norm(x)
    assert all(torch.equal(old, new) for old, new in zip(before, running_statistics(norm), strict=True))
    torch.testing.assert_close(trained, norm.eval()(x))


def test_statistics_of_bfloat16_are_added_up_in_float32() -> None:
    norm = BatchNorm(2, 4)
    x = (3 + torch.randn(2, 4096, 4)).bfloat16()
    for _ in range(200):
        y = norm(x)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert {tensor.dtype for tensor in (norm.mean, norm.variance, norm.gain.grad)} == {torch.float32}
    torch.testing.assert_close(norm.mean, x.double().mean(dim=1).float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(norm.variance, x.double().var(dim=1).float(), rtol=1e-4, atol=0)
    torch.testing.assert_close(y.float().mean(dim=1), torch.zeros(2, 4), rtol=0, atol=1e-2)


def test_normalised_layers_are_product_norm_relu_and_dropout_in_this_order() -> None:
    torch.manual_seed(1)
    layers = Mlp(2, 6, (5, 3), dropout=0.5, normalized=True)
    x = torch.randn(2, 50, 6)
    h, expected = layers.eval()(x), x
    for layer, norm in zip(layers.layers, layers.norms, strict=True):
        expected = norm(expected @ layer.weight).relu()
    torch.testing.assert_close(h, expected)
    layers.train()
    assert (layers(x) == 0).float().mean() > 0.7  # half by the ReLU of what the norm has centred, half of the rest
    assert [name for name, _ in layers.named_parameters() if "layers" in name and "bias" in name] == []
    assert sum(parameter.numel() for parameter in layers.parameters()) == 2 * ((6 + 2) * 5 + (5 + 2) * 3)


def test_without_normalisation_layers_hold_no_norm() -> None:
    assert Mlp(2, 6, (5, 3)).norms is None and running_statistics(Mlp(2, 6, (5, 3))) == []
