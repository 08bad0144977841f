"""What outlives a release: the names and shapes of a network's tensors, and a bundle of the first release."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmoe.data.scores import read_scores
from mmoe.lake.manifest import file_digest
from mmoe.lake.reader import Partition
from mmoe.model.network import NetworkSpec, build_network
from mmoe.model_config import ModelConfig
from mmoe.serve.scorer import Scorer
from mmoe.train.checkpoint import load_trainable
from mmoe.train.incremental import train_incremental

GOLDEN = Path(__file__).parents[1] / "golden"
STATE_DICTS = json.loads((GOLDEN / "state_dicts.json").read_text())
FIRST_RELEASE = GOLDEN / "first-release"


@pytest.mark.parametrize("name", STATE_DICTS)
def test_a_networks_tensors_keep_their_names_and_shapes(name: str) -> None:
    """A stored champion must load. A change here needs a new format of state.json and a way to read the old one."""
    golden = STATE_DICTS[name]
    spec = NetworkSpec(
        categorical=((5, 3), (4, 2)),
        bags=((6, 3),),
        numeric=2,
        view_types=2,
        heads=("click", "save"),
        config=ModelConfig.model_validate(golden["config"]),
    )
    network = build_network(spec, seed=1)
    assert {key: list(tensor.shape) for key, tensor in network.state_dict().items()} == golden["tensors"]


@pytest.fixture
def golden_rows() -> Partition:
    file = FIRST_RELEASE / "rows.parquet"
    rows = pq.read_metadata(file).num_rows
    table_day = pq.read_table(file, columns=["event_time"])["event_time"][0].as_py().date()
    return Partition(day=table_day, digest=file_digest(file), files=(file,), rows=rows)


def test_a_bundle_of_the_first_release_scores_as_it_did(golden_rows, tmp_path) -> None:
    Scorer.load(FIRST_RELEASE / "bundle", threads=1).score_partition(golden_rows, tmp_path / "scores.parquet")
    expected = json.loads((FIRST_RELEASE / "logits.json").read_text())
    scores = read_scores([tmp_path / "scores.parquet"])
    assert Scorer.load(FIRST_RELEASE / "bundle", calibrated=True).calibrator is None, "it serves as it did, too"
    for head, logits in expected.items():
        np.testing.assert_allclose(scores.logits[head], logits, rtol=0, atol=2e-6)


def test_a_training_of_the_first_release_goes_on(golden_rows, params, tmp_path) -> None:
    start = load_trainable(FIRST_RELEASE / "trainable")
    result = train_incremental(
        start=FIRST_RELEASE / "trainable",
        schema=start.state.data_schema,
        params=params,
        partitions=[golden_rows],
        output=tmp_path / "out",
        threads=1,
    )
    assert result.state.stages[0] == start.state.stages[0]
    assert result.state.rows == start.state.rows + golden_rows.rows
