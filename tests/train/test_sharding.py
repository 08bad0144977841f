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
from mmoe.train.sharding import build_optimizer
from mmoe.train.spec import network_spec

RATES = {"dense_lr": 0.01, "embedding_lr": 0.1, "weight_decay": 0.0, "clip_norm": 1.0}


@pytest.fixture
def build(small_schema: Schema, params: Params):
    return lambda group: build_network(network_spec(small_schema, params.model), seed=1, apart_from=group.apart_from)


@pytest.mark.parametrize(
    "group", [Processes(shard_rows=1), Processes(world=2), Processes(world=2, shard_rows=10_000)],
    ids=["a single process", "not asked for", "no table is that large"],
)  # fmt: skip
def test_without_anything_to_share_out_a_network_keeps_its_tables(build, group) -> None:
    network, alone = build(group), build(Processes())
    assert type(build_optimizer(network, group, **RATES)) is Optimizer
    assert network.state_dict().keys() == alone.state_dict().keys()
    assert all(torch.equal(weight, network.state_dict()[name]) for name, weight in alone.state_dict().items())


def test_without_torchrec_the_setting_is_refused_with_what_to_install(build, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchrec", None)
    group = Processes(world=2, shard_rows=400)
    with pytest.raises(ConfigError, match=r"MMOE_SHARD_ROWS=400: .*pip install --no-deps -r requirements-sharding"):
        build_optimizer(build(group), group, **RATES)
