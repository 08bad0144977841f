"""mmoe.train.passes: the best pass is kept, bit for bit, by what was held out; and none is made for nothing."""

from datetime import date

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mmoe.config import TrainConfig
from mmoe.data.hashing import GroupShare
from mmoe.data.scores import read_scores
from mmoe.errors import ConfigError, TrainingError
from mmoe.model.network import build_network
from mmoe.parsing import parse
from mmoe.serve.scorer import Scorer
from mmoe.train.batch import train_batch
from mmoe.train.passes import HeldOut, refuse_unjudged
from mmoe.train.spec import network_spec

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)


@pytest.fixture
def train(small_schema, params, tmp_path):
    """train(partitions, name, held_out=…, epochs=…, patience=…) of a network that overfits in a few passes."""

    def run(partitions, name, *, model=params.model, held_out=None, progress=None, **change):
        rates = params.train.optimizer.model_copy(update={"warmup_share": 0.0})
        config = params.train.model_copy(update={"optimizer": rates} | change)
        return train_batch(
            schema=small_schema, model=model, params=params.model_copy(update={"train": config}),
            partitions=partitions, held_out=held_out, progress=progress, output=tmp_path / name, threads=1,
        )  # fmt: skip

    return run


def test_the_best_pass_is_kept_as_if_there_had_been_none_after_it(train, make_partition, tmp_path) -> None:
    days, held_out = [make_partition(DAY, rows=900)], HeldOut(partition=make_partition(NEXT, rows=3000))
    told = []
    patient = train(days, "patient", held_out=held_out, epochs=12, patience=2, progress=told.append)
    assert told[-1].rows == told[-1].rows_planned < 12 * 900, "whoever listens hears of the end"
    stage = patient.state.stages[0]
    means = [np.mean(list(point.auc.values())) for point in stage.passes]
    best = int(np.argmax(means))
    assert len(means) == best + 1 + 2 < 12, "it ended two passes after the best"
    plain = train(days, "plain", epochs=best + 1)
    for name in ("weights.safetensors", "optimizer.safetensors"):
        assert (patient.folder / name).read_bytes() == (plain.folder / name).read_bytes(), name
    assert (stage.rows, stage.steps) == (plain.state.rows, plain.state.steps) == (900 * (best + 1), 8 * (best + 1))
    assert stage.curve[-1].step <= stage.steps and plain.state.stages[0].passes == ()

    scorer = Scorer.of_trainable(patient.folder, threads=1)
    scorer.score_partition(held_out.partition, tmp_path / "scores.parquet")
    scores = read_scores([tmp_path / "scores.parquet"])
    for head, auc in stage.passes[best].auc.items():
        final = ~np.isnan(scores.labels[head])
        assert auc == pytest.approx(roc_auc_score(scores.labels[head][final], scores.logits[head][final]), abs=2e-3)


def test_passes_are_judged_on_the_groups_that_are_held_out_alone(train, make_partition, params) -> None:
    day, share = make_partition(DAY, rows=2000), GroupShare(salt="x", share=0.3, keep=True)
    model = params.model.model_copy(update={"normalization": "batch"})
    some, all_ = (
        train([day], name, held_out=HeldOut(partition=day, groups=groups), epochs=2, patience=1, model=model)
        for name, groups in (("some", (share,)), ("all", ()))
    )
    first, second = (result.state.stages[0].passes[0].auc["click"] for result in (some, all_))
    assert first != second and first == pytest.approx(second, abs=0.1)
    assert some.state.stages[0].inputs != all_.state.stages[0].inputs


def test_without_patience_the_last_pass_is_kept_and_nothing_is_judged(train, make_partition) -> None:
    days, held_out = [make_partition(DAY)], HeldOut(partition=make_partition(NEXT))
    one, two = train(days, "one", epochs=2), train(days, "two", epochs=2, held_out=held_out)
    assert one.digest == two.digest and one.state.stages[0].passes == ()


def test_patience_with_one_epoch_is_refused_with_the_fix() -> None:
    with pytest.raises(ConfigError, match="patience=3: of epochs=1 there is one to keep; raise epochs, or drop it"):
        parse(TrainConfig, {"patience": 3}, "params.yaml", ConfigError)


def test_patience_without_held_out_rows_is_refused_with_the_fix(train, make_partition) -> None:
    with pytest.raises(
        ConfigError, match=r"train.patience=1: no rows are held out .*window.catch_up_days to 1 or more"
    ):
        train([make_partition(DAY)], "out", epochs=2, patience=1)


def test_patience_with_tables_that_are_shared_out_is_refused_with_the_fix(params, small_schema, make_partition) -> None:
    network = build_network(network_spec(small_schema, params.model), seed=1, apart_from=400)
    with pytest.raises(
        ConfigError, match=r"train.patience=2: embeddings\.tables\.0\.weight is shared out .*MMOE_SHARD_ROWS"
    ):
        refuse_unjudged(network, 2, HeldOut(partition=make_partition(DAY)))


def test_held_out_rows_of_one_class_alone_are_refused(train, make_partition) -> None:
    day, none = make_partition(DAY), GroupShare(salt="x", share=1e-9, keep=True)
    with pytest.raises(TrainingError, match="no head has both classes among the held-out rows; hold more rows out"):
        train([day], "out", held_out=HeldOut(partition=day, groups=(none,)), epochs=2, patience=1)
