"""Fixtures of training tests: small parameters, and one trained folder."""

from datetime import date
from pathlib import Path

import pytest

from mmoe.config import Params
from mmoe.train.batch import train_batch
from mmoe.train.spec import TrainResult

DAY = date(2026, 3, 1)


@pytest.fixture
def params() -> Params:
    expert = {"hidden": [16, 8]}
    return Params.model_validate(
        {
            "baseline": {"experts": [{"kind": "dcnv2"} | expert], "embedding_dim": 4},
            "model": {
                "experts": [{"kind": "dcnv2"} | expert, {"kind": "mlp"} | expert],
                "embedding_dim": 4,
                "dropout": 0.1,
            },
            "train": {"batch_size": 128, "shuffle_rows": 500, "optimizer": {"dense_lr": 0.01, "embedding_lr": 0.2}},
            "gate": {"profiles": {}},
        }
    )


@pytest.fixture
def trained(make_partition, small_schema, params, tmp_path: Path) -> TrainResult:
    """A small MMoE that has learned DAY."""
    return train_batch(
        schema=small_schema,
        model=params.model,
        params=params,
        partitions=[make_partition(DAY, rows=1000)],
        output=tmp_path / "trained",
        threads=1,
    )
