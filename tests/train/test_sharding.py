"""mmoe.train.sharding: which tables are shared out; test_distributed.py has two real processes learn with them."""

import sys

import pytest
import torch

from mmoe.config import Params
from mmoe.errors import ConfigError
from mmoe.model.network import build_network
from mmoe.schema import Schema
from mmoe.train.distributed import Processes
from mmoe.train.optim import Optimizer
from mmoe.train.sharding import build_optimizer, made_whole
from mmoe.train.spec import network_spec

RATES = {"dense_lr": 0.01, "embedding_lr": 0.1, "weight_decay": 0.0, "clip_norm": 1.0}


@pytest.fixture
def network(small_schema: Schema, params: Params):
    return build_network(network_spec(small_schema, params.model), seed=1)


@pytest.mark.parametrize(
    "group", [Processes(shard_rows=1), Processes(world=2), Processes(world=2, shard_rows=10_000)],
    ids=["a single process", "not asked for", "no table is that large"],
)  # fmt: skip
def test_without_anything_to_share_out_a_network_keeps_its_tables(network, group) -> None:
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    assert type(build_optimizer(network, group, **RATES)) is Optimizer
    assert made_whole(network) is network
    assert all(torch.equal(before[name], weight) for name, weight in network.state_dict().items())


def test_without_torchrec_the_setting_is_refused_with_what_to_install(network, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchrec", None)
    with pytest.raises(ConfigError, match=r"MMOE_SHARD_ROWS=400: .*pip install --no-deps -r requirements-sharding"):
        build_optimizer(network, Processes(world=2, shard_rows=400), **RATES)
