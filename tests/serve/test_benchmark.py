"""mmoe.serve.benchmark: both precisions, timed in pairs and judged on the same rows."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from mmoe.config import ServeConfig
from mmoe.data.scores import read_scores
from mmoe.errors import TrainingError
from mmoe.serve.benchmark import compare_precisions
from mmoe.serve.export import export_bundle
from mmoe.serve.scorer import Scorer


@pytest.fixture
def bundle(trained, tmp_path):
    export_bundle(trained.folder, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_the_auc_of_both_precisions_is_that_of_their_score_sets(bundle, make_partition, next_day, tmp_path) -> None:
    partition = make_partition(next_day)
    result = compare_precisions(bundle, partition, ServeConfig(batch_size=64, rounds=4))
    for precision, aucs in (("float32", result.float32_auc), ("bfloat16", result.bfloat16_auc)):
        Scorer.load(bundle, precision, threads=1).score_partition(partition, tmp_path / precision)
        scores = read_scores([tmp_path / precision])
        for head, label in scores.labels.items():
            final = ~np.isnan(label)
            assert aucs[head] == pytest.approx(roc_auc_score(label[final], scores.logits[head][final]), abs=1e-6)
    assert result.auc_delta["click"] == result.bfloat16_auc["click"] - result.float32_auc["click"]


def test_latency_is_positive_and_requests_are_of_the_size_asked_for(bundle, make_partition, next_day) -> None:
    result = compare_precisions(bundle, make_partition(next_day), ServeConfig(batch_size=64, rounds=4))
    assert (result.batch_size, result.rounds, result.threads, result.rows) == (64, 4, 1, 600)
    assert result.float32_ms > 0 and result.bfloat16_ms > 0 and result.latency_ratio > 0


def test_a_small_partition_is_one_request_and_an_empty_one_is_refused(bundle, make_partition, next_day) -> None:
    partition = make_partition(next_day, rows=40)
    assert compare_precisions(bundle, partition, ServeConfig(rounds=2)).batch_size == 40
    pq.write_table(pq.read_table(partition.files[0]).slice(0, 0), partition.files[0])
    with pytest.raises(TrainingError, match="no rows to time"):
        compare_precisions(bundle, replace(partition, rows=0), ServeConfig(rounds=2))
