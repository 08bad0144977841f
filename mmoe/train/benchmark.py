"""How fast the experts are beside one matrix product of their size, and what a distillation loss costs of a step."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import mean, median

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.flop_counter import FlopCounterMode

from mmoe.model.costs import blank_inputs
from mmoe.model.experts import Experts, build_expert
from mmoe.model.network import NetworkSpec, build_network
from mmoe.model_config import ExpertConfig
from mmoe.parsing import Frozen
from mmoe.train.device import Precision, outputs_in, usable_precision
from mmoe.train.losses import DISTILLATION, LISTWISE, distil
from mmoe.train.optim import Optimizer
from mmoe.train.pairs import grouped

WARMUP = 3
GROUP_ROWS = 8
"""Rows of a list, for listwise losses."""
PAIRS_A_ROUND = 4
Work = Callable[[], object]


class ExpertRate(Frozen):
    """Copies of one declaration as one batched block, beside references of the same FLOPs: medians of paired rounds."""

    experts: str
    rows: int
    features: int
    gflop: float
    """Of the matrix products of one forward pass."""
    forward_rate: float
    """FLOP rate over that of one matrix product of as many FLOPs."""
    training_rate: float
    """The same, forward and backward."""
    forward_over_loop: float
    """Time over that of the same experts one by one in a Python loop."""
    training_over_loop: float


class LossCost(Frozen):
    """What a distillation loss adds to a training step, over the whole step without it."""

    loss: str
    rows: int
    heads: int
    precision: Precision
    """Of the step, as a training has it here by default."""
    milliseconds: float
    share: float


def expert_rate(config: ExpertConfig, *, copies: int, features: int, rows: int, rounds: int) -> ExpertRate:
    """Time the batched block, the loop and one product x (B, D) @ w (D, N), N such that the FLOPs are equal."""
    batched = Experts([config] * copies, features, dropout=0.0)
    loop = nn.ModuleList(build_expert(config, 1, features, dropout=0.0) for _ in range(copies))
    x = torch.randn(rows, features)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        batched(x)
    flops = counter.get_total_flops()
    weight = torch.randn(features, round(flops / (2 * rows * features)), requires_grad=True)

    def looped(x: Tensor) -> Tensor:
        return torch.stack([expert(x.unsqueeze(0))[0] for expert in loop])

    works: Sequence[Callable[[Tensor], Tensor]] = (batched, looped, lambda x: x @ weight)
    forward = paired_times([no_grad(work, x) for work in works], rounds)
    training = paired_times([with_backward(work, x) for work in works], rounds)
    return ExpertRate(
        experts=f"{copies} x {config.kind}",
        rows=rows,
        features=features,
        gflop=flops / 1e9,
        forward_rate=ratio(forward, 2, 0),
        training_rate=ratio(training, 2, 0),
        forward_over_loop=ratio(forward, 0, 1),
        training_over_loop=ratio(training, 0, 1),
    )


def no_grad(work: Callable[[Tensor], Tensor], x: Tensor) -> Work:
    def run() -> None:
        with torch.no_grad():
            work(x)

    return run


def with_backward(work: Callable[[Tensor], Tensor], x: Tensor) -> Work:
    read = x.clone().requires_grad_()
    gradient = torch.ones_like(work(x))
    return lambda: torch.autograd.backward(work(read), gradient)


def loss_costs(spec: NetworkSpec, *, rows: int, rounds: int) -> list[LossCost]:
    """Time a whole network's training step with every distillation loss over all heads, and without."""
    network = build_network(spec, seed=0)
    optimizer = Optimizer(network, dense_lr=1e-3, embedding_lr=0.05, weight_decay=0.0, clip_norm=10.0)
    inputs, heads = blank_inputs(spec, rows), len(spec.heads)
    labels, teacher, temperatures = torch.randint(2, (heads, rows)).float(), torch.randn(heads, rows), torch.ones(heads)
    view_types, by_list = torch.randint(spec.view_types, (rows,)), torch.arange(rows) // GROUP_ROWS
    by_view_type, _ = grouped(view_types)  # as they are streamed beside a teacher's logits
    precision = usable_precision("bfloat16")

    def step(name: str | None = None) -> None:
        optimizer.zero_grad()
        outputs = outputs_in(network, inputs, bfloat16=precision == "bfloat16")
        student = torch.stack(list(outputs.logits.values()))
        loss = binary_cross_entropy_with_logits(student, labels)
        if name is not None:
            groups = by_list if name in LISTWISE else by_view_type
            loss = loss + distil(name, student, teacher, groups, temperatures, spoken=range(heads)).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    costs = []
    for name in DISTILLATION:
        added, whole = added_time(step, partial(step, name), rounds * PAIRS_A_ROUND)
        cost = {"milliseconds": 1e3 * added, "share": added / whole}
        costs.append(LossCost(loss=name, rows=rows, heads=heads, precision=precision, **cost))
    return costs


def added_time(work: Work, more: Work, pairs: int) -> tuple[float, float]:
    """Seconds that `more` takes above `work`, and those of `work`. By turns forth and back, so that a drift of the
    machine cancels out; a mean without the highest and the lowest tenth, as the difference is below a step's noise.
    """
    order, added, whole = (work, more, more, work), [], []
    for number in range(-WARMUP, pairs):
        first, second, third, fourth = map(timed, order)
        if number >= 0:
            added.append((second + third - first - fourth) / 2)
            whole.append((first + fourth) / 2)
    tenth = pairs // 10
    return mean(sorted(added)[tenth : pairs - tenth]), median(whole)


def paired_times(works: Sequence[Work], rounds: int) -> list[tuple[float, ...]]:
    """Seconds of each, a round; the order turns round by round, so that none always finds a warm cache."""
    times = []
    for number in range(-WARMUP, rounds):
        order = [(number + index) % len(works) for index in range(len(works))]
        seconds = {index: timed(works[index]) for index in order}
        if number >= 0:
            times.append(tuple(seconds[index] for index in range(len(works))))
    return times


def timed(work: Work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratio(times: Sequence[tuple[float, ...]], above: int, below: int) -> float:
    return median(round_[above] / round_[below] for round_ in times)
