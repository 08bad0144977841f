import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn

from mmoe.errors import ConfigError
from mmoe.train.optim import Optimizer, RowwiseAdagrad, decay, refuse_apart, sum_by_row, warmup


class Toy(nn.Module):
    """A table under `embeddings.` and two dense parameters, as Network has them."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(50, 4, sparse=True)
        self.linear = nn.Linear(4, 1)

    def forward(self, ids: Tensor) -> Tensor:
        return self.linear(self.embeddings(ids).tanh()).squeeze(-1)


def toy(seed: int = 1) -> Toy:
    torch.manual_seed(seed)
    return Toy()


def optimizer_of(network: nn.Module, clip_norm: float = 10.0, embedding_l2: float = 0.0) -> Optimizer:
    rates = {"dense_lr": 0.01, "embedding_lr": 0.1, "weight_decay": 0.01}
    return Optimizer(network, clip_norm=clip_norm, embedding_l2=embedding_l2, **rates)


def train(network: Toy, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        ids = torch.randint(50, (64,), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network(ids), (ids % 3 == 0).float()).backward()
        optimizer.step(warmup(step, 20, 0.3))


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_rowwise_adagrad_equals_its_equation_on_dense_gradients_row_by_row(l2: float) -> None:
    table = nn.Parameter(torch.randn(20, 4, dtype=torch.float64))
    expected, sums = table.detach().clone(), torch.zeros(20, dtype=torch.float64)
    adagrad = RowwiseAdagrad({"t": table}, lr=0.1, l2=l2)
    for seed in range(5):
        ids = torch.randint(20, (30,), generator=torch.Generator().manual_seed(seed))
        targets = torch.randn(30, 4, dtype=torch.float64)
        gradients = torch.zeros(20, 4, dtype=torch.float64)
        for i, row in enumerate(ids.tolist()):
            gradients[row] += 2 * (expected[row] - targets[i])
        table.grad = None
        (F.embedding(ids, table, sparse=True) - targets).square().sum().backward()
        adagrad.step()
        for row in range(20):
            if row in ids:
                gradients[row] += l2 * expected[row]
                sums[row] += gradients[row].square().mean()
                expected[row] -= 0.1 * gradients[row] / (sums[row].sqrt() + 1e-10)
    torch.testing.assert_close(table.detach(), expected)
    torch.testing.assert_close(adagrad.sums["t"], sums)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_rows_outside_the_batch_stay_bit_equal(l2: float) -> None:
    network = toy()
    before = network.embeddings.weight.detach().clone()
    optimizer = optimizer_of(network, embedding_l2=l2)
    network(torch.tensor([3, 3, 7])).sum().backward()
    optimizer.step()
    changed = (network.embeddings.weight != before).any(dim=1).nonzero().flatten()
    assert changed.tolist() == [3, 7]


def test_sum_by_row_equals_coalesce() -> None:
    indices, values = torch.randint(9, (1, 40)), torch.randn(40, 3, dtype=torch.float64)
    sparse = torch.sparse_coo_tensor(indices, values, (9, 3), check_invariants=True)
    rows, sums = sum_by_row(sparse)
    torch.testing.assert_close(rows, sparse.coalesce().indices()[0])
    torch.testing.assert_close(sums, sparse.coalesce().values())


def test_an_empty_sparse_gradient_changes_nothing() -> None:
    table = nn.Parameter(torch.randn(5, 2))
    before = table.detach().clone()
    adagrad = RowwiseAdagrad({"t": table}, lr=0.1)
    F.embedding(torch.empty(0, dtype=torch.int64), table, sparse=True).sum().backward()
    adagrad.step()
    assert torch.equal(table, before)


def test_the_dense_part_equals_torch_adamw_with_decay_on_weights_only() -> None:
    ours, theirs = toy(), toy()
    optimizer = optimizer_of(ours, clip_norm=1e9)
    groups = [{"params": [theirs.linear.weight], "weight_decay": 0.01}, {"params": [theirs.linear.bias]}]
    reference = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.0)
    ids = torch.arange(50)
    for _ in range(5):
        for network, step in ((ours, optimizer.step), (theirs, reference.step)):
            network.zero_grad()
            network(ids).square().sum().backward()
            if network is ours:
                network.embeddings.weight.grad = None
            step()
    torch.testing.assert_close(ours.linear.weight, theirs.linear.weight)
    torch.testing.assert_close(ours.linear.bias, theirs.linear.bias)


def test_a_penalty_on_tables_that_are_to_be_shared_out_is_refused() -> None:
    with torch.device("meta"):
        shared = Toy()
    with pytest.raises(ConfigError, match=r"embedding_l2=0.05: embeddings.weight is shared out .* MMOE_SHARD_ROWS"):
        refuse_apart(shared, embedding_l2=0.05)
    refuse_apart(shared, embedding_l2=0.0, decay_share=0.0)
    refuse_apart(toy(), embedding_l2=0.05)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_a_run_resumed_from_saved_bytes_is_bit_equal_to_an_unbroken_one(l2: float) -> None:
    unbroken = toy()
    train(unbroken, optimizer_of(unbroken, embedding_l2=l2), range(20))

    first = toy()
    optimizer = optimizer_of(first, embedding_l2=l2)
    train(first, optimizer, range(8))
    weights, state = save(dict(first.state_dict())), save(optimizer.state())

    second = toy(seed=99)
    second.load_state_dict(load(weights))
    resumed = optimizer_of(second, embedding_l2=l2)
    resumed.load_state(load(state))
    train(second, resumed, range(8, 20))
    for name, value in unbroken.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize("left_out", ["none", "adamw"])
def test_the_state_before_the_first_step_can_be_saved_and_loaded(left_out: str) -> None:
    """Also as versions up to 0.1 saved it: without the moments of parameters that no step had moved."""
    state = {k: v for k, v in load(save(optimizer_of(toy()).state())).items() if not k.startswith(left_out)}
    fresh, loaded = toy(), toy()
    optimizer = optimizer_of(loaded)
    optimizer.load_state(state)
    train(loaded, optimizer, range(2))
    train(fresh, optimizer_of(fresh), range(2))
    assert torch.equal(loaded.linear.weight, fresh.linear.weight)


def test_training_does_not_import_a_compiler() -> None:
    """torch._dynamo takes 73 MB and two seconds of a process that does not compile."""
    code = """
import sys, torch
from mmoe.train.optim import Optimizer
network = torch.nn.Linear(2, 1)
optimizer = Optimizer(network, dense_lr=0.1, embedding_lr=0.1, weight_decay=0.0, clip_norm=1.0)
network(torch.ones(3, 2)).sum().backward()
optimizer.step()
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_state_has_one_float_a_row_and_three_tensors_a_dense_parameter() -> None:
    network = toy()
    optimizer = optimizer_of(network)
    train(network, optimizer, range(1))
    state = optimizer.state()
    assert state["adagrad.embeddings.weight"].shape == (50,)
    dense = {f"adamw.linear.{p}.{key}" for p in ("weight", "bias") for key in ("exp_avg", "exp_avg_sq", "step")}
    assert set(state) == dense | {"adagrad.embeddings.weight"}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_updates_nothing_and_is_returned(bad: float) -> None:
    network = toy()
    optimizer = optimizer_of(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    (network(torch.arange(5)).sum() * bad).backward()
    assert optimizer.step() != optimizer.step() or optimizer.step() == float("inf")
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_dense_gradients_are_clipped_to_the_norm() -> None:
    network = toy()
    optimizer = optimizer_of(network, clip_norm=0.5)
    (network(torch.arange(50)).sum() * 100).backward()
    assert optimizer.step() > 0.5
    norm = torch.stack([p.grad.norm() for p in network.linear.parameters()]).norm()
    torch.testing.assert_close(norm, torch.tensor(0.5), rtol=1e-4, atol=0)


def test_warmup_rises_linearly_over_its_share_of_the_steps_and_stays_at_1() -> None:
    assert [warmup(step, 20, 0.2) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert warmup(0, 20, 0.0) == 1.0
    assert warmup(0, 1, 0.05) == 1.0


def test_decay_falls_linearly_over_its_share_of_the_rows_and_never_below_0() -> None:
    assert [decay(rows, 100, 0.4) for rows in (0, 60, 70, 90, 99, 100, 120)] == [1.0, 1.0, 0.75, 0.25, 0.025, 0.0, 0.0]
    assert decay(100, 100, 0.0) == decay(0, 100, 1.0) == 1.0


def test_both_parts_are_updated_by_their_scaled_rate() -> None:
    whole, half = toy(), toy()
    half.load_state_dict(whole.state_dict())
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    for network, scale in ((whole, 1.0), (half, 0.5)):
        optimizer = optimizer_of(network)
        network(torch.arange(50)).square().sum().backward()
        optimizer.step(scale, scale)
    for name, start in before.items():
        moved, less = (network.state_dict()[name] - start for network in (whole, half))
        torch.testing.assert_close(less, moved / 2, rtol=1e-3, atol=1e-6)
