"""Every expert against a slow reference that follows its paper's equation row by row, in numpy."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from mmoe.errors import ConfigError
from mmoe.model.cross import residual_product
from mmoe.model.experts import Experts, build_expert
from mmoe.model.finalmlp import BilinearFusion
from mmoe.model.norms import running_statistics
from mmoe.model_config import ExpertConfig
from mmoe.parsing import parse

WIDTH, HIDDEN = 10, (12, 6)
COLUMNS = {"user": [4, 5, 6], "item": [0, 1], "view_type": [9]}
CONFIGS = {
    "dcnv2": ExpertConfig(kind="dcnv2", layers=3, hidden=HIDDEN),
    "dcnv2 of rank 2": ExpertConfig(kind="dcnv2", layers=2, rank=2, hidden=HIDDEN),
    "dcnv2 mixing 3 of rank 2": ExpertConfig(kind="dcnv2", layers=2, rank=2, mixture=3, hidden=HIDDEN),
    "dcnv2 of 1 full and 2 low": ExpertConfig(kind="dcnv2", layers=3, rank=2, mixture=2, full_layers=1, hidden=HIDDEN),
    "dcnv2 in parallel": ExpertConfig(kind="dcnv2", layers=2, parallel=True, hidden=HIDDEN),
    "dcnv2 in parallel with one dense layer": ExpertConfig(kind="dcnv2", parallel=True, hidden=(6,)),
    "masknet in parallel": ExpertConfig(kind="masknet", layers=3, parallel=True, hidden=HIDDEN),
    "masknet": ExpertConfig(kind="masknet", layers=2, hidden=HIDDEN),
    "masknet of wide masks": ExpertConfig(kind="masknet", hidden=HIDDEN, mask_hidden=17, feature_norm=False),
    "masknet of wide masks in parallel": ExpertConfig(
        kind="masknet", layers=3, parallel=True, hidden=HIDDEN, mask_hidden=17, feature_norm=False
    ),
    "masknet without a deep part": ExpertConfig(kind="masknet", layers=3, hidden=(6,)),
    "finalmlp": ExpertConfig(kind="finalmlp", hidden=HIDDEN),
    "finalmlp gated by features": ExpertConfig(
        kind="finalmlp", hidden=HIDDEN, stream_gates=(("user", "view_type"), ("item",))
    ),
    "finalmlp gated by features and a context": ExpertConfig(
        kind="finalmlp", hidden=HIDDEN, stream_gates=((), ("item",))
    ),
    "finalmlp of unlike streams": ExpertConfig(
        kind="finalmlp", hidden=HIDDEN, second_hidden=(9,), fusion_heads=3, stream_gate_hidden=5,
        stream_gates=(("user",), ()),
    ),
    "finalmlp of one number": ExpertConfig(kind="finalmlp", hidden=HIDDEN, second_hidden=(4,), fusion_outputs=1),
    "mlp": ExpertConfig(kind="mlp", hidden=HIDDEN),
}  # fmt: skip

Weights = dict[str, np.ndarray]


def expert(config: ExpertConfig, copies: int = 2, *, normalized: bool = False) -> nn.Module:
    """In float64, with every parameter random, so that no bias or gain hides behind its initial value; in evaluation,
    where a row's output is its own, with random running statistics."""
    torch.manual_seed(5)
    module = build_expert(config, copies, WIDTH, dropout=0.0, columns=COLUMNS, normalized=normalized).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    for statistic in running_statistics(module):
        nn.init.uniform_(statistic, 0.2, 1.5)
    return module.eval()


def weights_of(module: nn.Module, copy: int, copies: int = 2) -> Weights:
    """One copy's arrays by name, each (inputs, outputs); blocks of several matrices have those one below the other."""
    return {
        name: value.numpy().reshape(copies, -1, value.shape[-1])[copy] for name, value in module.state_dict().items()
    }


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def affine(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """W x + b for one row x; our weights are stored (inputs, outputs)."""
    weight = w[f"{name}.weight"]
    y = np.array([sum(x[i] * weight[i, o] for i in range(len(x))) for o in range(weight.shape[1])])
    return y + w[f"{name}.bias"].reshape(-1) if f"{name}.bias" in w else y


def dense(w: Weights, name: str, x: np.ndarray, layers: int) -> np.ndarray:
    for layer in range(layers):
        x = relu(batch_norm(w, f"{name}norms.{layer}", affine(w, f"{name}layers.{layer}", x)))
    return x


def batch_norm(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """By the running statistics, where there are any."""
    if f"{name}.mean" not in w:
        return x
    mean, variance, gain, bias = (w[f"{name}.{part}"].reshape(-1) for part in ("mean", "variance", "gain", "bias"))
    return gain * (x - mean) / np.sqrt(variance + 1e-5) + bias


def norm(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    normed = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    return normed * w[f"{name}.gain"].reshape(-1) + w[f"{name}.bias"].reshape(-1)


def dcnv2(w: Weights, config: ExpertConfig, x0: np.ndarray) -> np.ndarray:
    x = x0
    for layer in range(config.layers):
        cross = f"crosses.{layer}"
        if config.rank is None or layer < config.full_layers:
            x = x0 * affine(w, f"{cross}.up", x) + x
        elif config.mixture == 1:
            x = x0 * affine(w, f"{cross}.up", affine(w, f"{cross}.down", x)) + x
        else:
            x = mixture_cross(w, cross, config, x0, x)
    if config.parallel:
        beside = dense(w, "beside.", x0, len(config.hidden) - 1)
        return dense(w, "deep.", np.concatenate([x, beside]), 1)
    return dense(w, "deep.", x, len(config.hidden))


def mixture_cross(w: Weights, name: str, config: ExpertConfig, x0: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Σ_m g_m(x) · x₀ ⊙ (U_m tanh(C_m tanh(V_mᵀ x)) + b) + x, one expert after the other."""
    gate = np.exp(affine(w, f"{name}.gate", x))
    gate /= gate.sum()
    total = x
    for m in range(config.mixture):
        own = slice(m * config.rank, (m + 1) * config.rank)
        v, c, u = w[f"{name}.down.weight"][:, own], w[f"{name}.core.weight"][own], w[f"{name}.up.weight"][own]
        inner = np.tanh(np.tanh(x @ v) @ c) @ u + w[f"{name}.up.bias"].reshape(-1)
        total = total + gate[m] * x0 * inner
    return total


def masknet(w: Weights, config: ExpertConfig, v: np.ndarray) -> np.ndarray:
    h = norm(w, "norm", v) if config.feature_norm else v
    if config.parallel:
        blocks = [parallel_block(w, config, block, v, h) for block in range(config.layers)]
        return dense(w, "deep.", np.concatenate(blocks), len(config.hidden) - 1)
    for block in range(config.layers):
        mask = affine(w, f"blocks.{block}.project", relu(affine(w, f"blocks.{block}.aggregate", v)))
        h = relu(norm(w, f"blocks.{block}.norm", affine(w, f"blocks.{block}.hidden", mask * h)))
    return dense(w, "deep.", h, len(config.hidden) - 1)


def parallel_block(w: Weights, config: ExpertConfig, block: int, v: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The block's own rows of the stacked weights, under the names that the serial form has."""
    own = {}
    for name, value in w.items():
        if name.startswith("blocks."):
            each = len(value) // config.layers
            own[name.removeprefix("blocks.")] = value[block * each : (block + 1) * each]
    mask = affine(own, "project", relu(affine(own, "aggregate", v)))
    return relu(norm(own, "norm", affine(own, "hidden", mask * h)))


def finalmlp(w: Weights, config: ExpertConfig, x: np.ndarray) -> np.ndarray:
    streams = []
    for stream in range(2):
        features = config.stream_gates[stream] if config.stream_gates else ()
        read = [x[column] for feature in features for column in COLUMNS[feature]]
        context = np.array(read) if read else w[f"gates.{stream}.context"].reshape(-1)
        gated = x * 2 * sigmoid(affine(w, f"gates.{stream}.output", relu(affine(w, f"gates.{stream}.hidden", context))))
        widths = (config.second_hidden or config.hidden) if stream else config.hidden
        streams.append(dense(w, f"streams.{stream}.", gated, len(widths)))
    left, right = streams
    heads = config.fusion_heads or math.gcd(8, len(left), len(right))
    chunks = len(left) // heads, len(right) // heads
    fused = affine(w, "fusion.left", left) + affine(w, "fusion.right", right)
    matrices = w["fusion.cross.weight"].reshape(heads, chunks[0], config.outputs, chunks[1])
    for k in range(heads):
        o1, o2 = (out[k * chunk : (k + 1) * chunk] for out, chunk in zip((left, right), chunks, strict=True))
        for unit in range(config.outputs):
            fused[unit] += o1 @ matrices[k, :, unit, :] @ o2
    return fused


def mlp(w: Weights, config: ExpertConfig, x: np.ndarray) -> np.ndarray:
    return dense(w, "", x, len(config.hidden))


REFERENCES: dict[str, Callable[[Weights, ExpertConfig, np.ndarray], np.ndarray]] = {
    "dcnv2": dcnv2,
    "masknet": masknet,
    "finalmlp": finalmlp,
    "mlp": mlp,
}


def parameters_by_formula(config: ExpertConfig) -> int:
    """As in the papers: W is width D, first hidden width h, sizes of the dense layers."""
    d, h, out = WIDTH, config.hidden[0], config.hidden[-1]

    def dense_count(sizes: tuple[int, ...]) -> int:
        return sum((i + 1) * o for i, o in pairwise(sizes))

    match config.kind:
        case "dcnv2":
            r, m = config.rank or 0, config.mixture
            full = config.layers if config.rank is None else config.full_layers
            low = 2 * d * r + d if m == 1 else m * (2 * d * r + r * r + d) + d
            crosses = full * (d * d + d) + (config.layers - full) * low
            if config.parallel:
                *beside, last = config.hidden
                return crosses + dense_count((d, *beside)) + dense_count((d + (beside or [d])[-1], last))
            return crosses + dense_count((d, *config.hidden))
        case "masknet" if config.parallel:
            a = config.mask_hidden or h
            block = (d + 1) * a + (a + 1) * d + d * h + 2 * h
            return (
                2 * d * config.feature_norm
                + config.layers * block
                + dense_count((config.layers * h, *config.hidden[1:]))
            )
        case "masknet":
            a = config.mask_hidden or h
            blocks = sum((d + 1) * a + (a + 1) * i + i * h + 2 * h for i in [d] + [h] * (config.layers - 1))
            return 2 * d * config.feature_norm + blocks + dense_count(config.hidden)
        case "finalmlp":
            read = [sum(len(COLUMNS[name]) for name in names) for names in config.stream_gates or ((), ())]
            a, second = config.stream_gate_hidden, config.second_hidden or config.hidden
            gates = sum((g + 1) * a + (a + 1) * d if g else 16 + 17 * a + (a + 1) * d for g in read)
            heads, fused = config.fusion_heads or math.gcd(8, out, second[-1]), config.outputs
            fusion = fused * (1 + out + second[-1] + out * second[-1] // heads)
            return gates + dense_count((d, *config.hidden)) + dense_count((d, *second)) + fusion
        case "mlp":
            return dense_count((d, *config.hidden))


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_an_expert_equals_its_papers_equation_row_by_row(name: str, normalized: bool) -> None:
    config = CONFIGS[name]
    module, x = expert(config, normalized=normalized), torch.randn(5, WIDTH, dtype=torch.float64)
    outputs = module(x.expand(2, -1, -1))
    assert outputs.shape == (2, 5, config.outputs)
    for copy in range(2):
        weights = weights_of(module, copy)
        expected = np.stack([REFERENCES[config.kind](weights, config, row) for row in x.numpy()])
        np.testing.assert_allclose(outputs[copy].detach().numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("outputs", [1, 64])
def test_a_fusion_starts_at_its_streams_scale_however_few_numbers_it_gives(outputs: int) -> None:
    """A variance of 2n / (n + H) from each sum of n products of unit variance (Glorot and Bengio 2010). Drawn as for
    the 80 inputs of a chunk, the 8,000 products of one number had a standard deviation of 13."""
    torch.manual_seed(5)
    fusion = BilinearFusion(1, 400, 100, outputs, heads=5)
    fused = fusion(torch.randn(1, 4000, 400), torch.randn(1, 4000, 100))
    variance = sum(2 * products / (products + outputs) for products in (400, 100, 400 * 100 // 5))
    assert float(fused.detach().std()) == pytest.approx(variance**0.5, rel=0.1)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("copies", [1, 3])
def test_an_expert_has_as_many_parameters_as_its_formula(name: str, copies: int) -> None:
    module = expert(CONFIGS[name], copies)
    assert sum(p.numel() for p in module.parameters()) == copies * parameters_by_formula(CONFIGS[name])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_batch_of_one_keeps_its_dimension_and_its_values(name: str) -> None:
    """FuxiCTR's and torch-rechub's mixtures of crosses lose the batch dimension at batch 1."""
    module, x = expert(CONFIGS[name]), torch.randn(2, 4, WIDTH, dtype=torch.float64)
    single = module(x[:, :1])
    assert single.shape == (2, 1, CONFIGS[name].outputs)
    torch.testing.assert_close(single, module(x)[:, :1])


@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_of_a_fresh_expert_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    module = build_expert(CONFIGS[name], 2, WIDTH, dropout=0.0, columns=COLUMNS)
    module(torch.randn(2, 200, WIDTH)).square().sum().backward()
    for parameter_name, parameter in module.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert (parameter.grad != 0).any(), parameter_name


def test_a_mixed_set_equals_its_experts_one_by_one_in_the_declared_order() -> None:
    alike, low_rank, other = CONFIGS["dcnv2"], CONFIGS["dcnv2 of rank 2"], CONFIGS["mlp"]
    declared = [alike, other, alike, low_rank, other]
    experts, x = Experts(declared, WIDTH, dropout=0.0), torch.randn(7, WIDTH)
    mixed = experts(x)
    assert [type(group).__name__ for group in experts.groups] == ["Dcn", "Mlp", "Dcn"]
    seen: dict[ExpertConfig, int] = {}
    for index, config in enumerate(declared):
        group = experts.groups[[alike, other, low_rank].index(config)]
        copy = seen.get(config, 0)
        seen[config] = copy + 1
        single = build_expert(config, 1, WIDTH, dropout=0.0)
        single.load_state_dict({name: value[copy : copy + 1] for name, value in group.state_dict().items()})
        torch.testing.assert_close(mixed[index], single(x.unsqueeze(0))[0])


@pytest.mark.parametrize(
    ("declared", "fix"),
    [
        ({"kind": "dcnv2", "mixture": 4}, "give a rank"),
        ({"kind": "dcnv2", "rank": 8, "layers": 2, "full_layers": 2}, "leaves no layer for the rank"),
        ({"kind": "mlp", "rank": 8}, "only dcnv2 has crosses; drop it for mlp"),
        ({"kind": "finalmlp", "parallel": True}, "only dcnv2 and masknet have such a form"),
        ({"kind": "masknet", "parallel": True, "hidden": [64]}, "give two widths"),
        ({"kind": "mlp", "mask_hidden": 8}, "mask_hidden: only masknet has masks; drop it for mlp"),
        ({"kind": "dcnv2", "feature_norm": False}, "feature_norm: only masknet has masks; drop it for dcnv2"),
        ({"kind": "mlp", "stream_gates": [["user"], []]}, "only finalmlp has two streams; drop it for mlp"),
        ({"kind": "dcnv2", "second_hidden": [8]}, "second_hidden: only finalmlp has two streams; drop it for dcnv2"),
        (
            {"kind": "finalmlp", "fusion_heads": 3},
            r"fusion_heads=3: give a divisor of .*, \[64\]",
        ),
        ({"kind": "finalmlp", "stream_gates": [["user"]]}, r"stream_gates=\[\['user'\]\].*give two, of which one"),
    ],
)
def test_a_form_that_an_expert_does_not_have_is_refused_with_the_fix(declared: dict[str, object], fix: str) -> None:
    with pytest.raises(ConfigError, match=fix):
        parse(ExpertConfig, declared, "params.yaml", ConfigError)


@pytest.mark.parametrize(
    ("config", "dropout"),
    [
        (CONFIGS["mlp"], 0.5),
        (ExpertConfig(kind="masknet", hidden=(6,), block_dropout=0.5), 0.0),
        (ExpertConfig(kind="masknet", hidden=HIDDEN, parallel=True, block_dropout=0.5), 0.0),
    ],
)
def test_dropout_acts_in_training_only(config: ExpertConfig, dropout: float) -> None:
    module = build_expert(config, 1, WIDTH, dropout=dropout)
    x = torch.randn(1, 50, WIDTH)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_one_and_zeros_beyond_the_features_change_neither_outputs_nor_gradients(config: ExpertConfig) -> None:
    torch.manual_seed(4)
    declared = [config, ExpertConfig(kind="mlp", hidden=(12, config.outputs)), config]
    experts = Experts(declared, WIDTH, dropout=0.0, columns=COLUMNS).double()
    for parameter in experts.parameters():
        nn.init.normal_(parameter, std=0.3)  # biases start at 0, which would hide where they are added
    features = torch.randn(9, WIDTH, dtype=torch.float64, requires_grad=True)
    narrow = experts(features)
    one = torch.ones(9, 1, dtype=torch.float64)
    wide = experts(torch.cat([features, one, torch.zeros(9, 5, dtype=torch.float64)], dim=1))
    torch.testing.assert_close(wide, narrow)
    leaves = [features, *experts.parameters()]
    found, expected = (torch.autograd.grad(each.sin().sum(), leaves) for each in (wide, narrow))
    torch.testing.assert_close(found, expected)


def test_a_residual_product_has_the_gradient_of_its_equation() -> None:
    tensors = [torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(residual_product, tensors)
