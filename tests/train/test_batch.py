"""mmoe.train.batch: learns, repeats bit for bit, distils, and leaves a whole folder or none."""

import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mmoe.data.hashing import GroupShare
from mmoe.data.scores import read_scores, write_scores
from mmoe.data.stream import stream_batches
from mmoe.data.teachers import Teacher
from mmoe.errors import ConfigError, TrainingError
from mmoe.lake.partitions import canonical_schema
from mmoe.lake.reader import Partition
from mmoe.model_config import ExpertConfig, ModelConfig
from mmoe.schema import Schema
from mmoe.serve.export import export_bundle
from mmoe.serve.scorer import Scorer
from mmoe.train import batch as batch_module
from mmoe.train.batch import train_batch
from mmoe.train.checkpoint import load_trainable
from mmoe.train.losses import DISTILLATION
from mmoe.train.optim import Optimizer

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)


@pytest.fixture
def train(small_schema, params, tmp_path):
    def run(partitions, name="out", **change):
        options = {"schema": small_schema, "model": params.model, "params": params, "threads": 1}
        return train_batch(**(options | {"partitions": partitions, "output": tmp_path / name} | change))

    return run


def score(folder: Path, partition, path: Path):
    export_bundle(folder, path.with_suffix(".bundle"))
    scorer = Scorer.load(path.with_suffix(".bundle"), threads=1)
    scorer.score_partition(partition, path)
    return scorer, read_scores([path])


def test_every_head_learns_what_can_be_learned(train, make_partition, tmp_path) -> None:
    result = train([make_partition(DAY, rows=8000)])
    _, scores = score(result.folder, make_partition(NEXT, rows=3000), tmp_path / "s.parquet")
    assert roc_auc_score(scores.labels["click"], scores.logits["click"]) > 0.75
    assert roc_auc_score(scores.labels["long_click"], scores.logits["long_click"]) > 0.75
    assert not np.allclose(scores.logits["click"], scores.logits["long_click"])
    rate = 1 / (1 + np.exp(-scores.logits["click"].astype(float)))
    assert rate.mean() == pytest.approx(scores.labels["click"].mean(), rel=0.1)


def test_the_state_tells_what_was_learned_from(train, make_partition, small_schema) -> None:
    first, second = make_partition(DAY), make_partition(NEXT)
    result = train([second, first])
    state = result.state
    assert [(seen.day, seen.digest) for seen in state.days] == [(DAY, first.digest), (NEXT, second.digest)]
    assert (state.rows, state.steps, state.trained_through) == (1200, 10, NEXT)
    assert state.data_schema == small_schema and state.heads == small_schema.heads
    curve = state.stages[0].curve
    assert curve[-1].step == 10 and set(curve[0].task) == set(small_schema.heads) and curve[0].distillation is None
    assert load_trainable(result.folder).state == state


def test_the_same_inputs_give_the_same_bits(train, make_partition) -> None:
    partitions = [make_partition(DAY), make_partition(NEXT)]
    one, two = train(partitions, "one"), train(partitions, "two")
    assert one.digest == two.digest
    for name in ("weights.safetensors", "optimizer.safetensors", "state.json"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()


def test_a_finished_training_is_returned_at_once_and_other_inputs_are_refused(train, make_partition, params) -> None:
    partition = make_partition(DAY)
    first = train([partition])
    reports = []
    again = train([partition], progress=reports.append)
    assert again.reused and again.digest == first.digest and again.state == first.state and not reports
    with pytest.raises(TrainingError, match="a training of other inputs"):
        train([partition], params=params.model_copy(update={"seed": 18}))


def test_a_killed_training_leaves_nothing_and_the_next_one_is_as_if_it_had_not_been(
    train, make_partition, small_schema, params, tmp_path
) -> None:
    partition = make_partition(DAY)
    code = f"""
import os, signal
from pathlib import Path
from datetime import UTC, date, datetime
from mmoe.config import Params
from mmoe.lake.reader import Partition
from mmoe.schema import Schema
from mmoe.train import batch, checkpoint

def save_and_die(path, tensors):
    checkpoint_save(path, tensors)
    if path.name.startswith("optimizer"):
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint_save, checkpoint.write_tensors = checkpoint.write_tensors, save_and_die
params = Params.model_validate_json({params.model_dump_json()!r})
batch.train_batch(
    schema=Schema.model_validate_json({small_schema.model_dump_json()!r}), model=params.model, params=params,
    partitions=[Partition(day=date(2026, 3, 1), digest={partition.digest!r}, files=(Path({str(partition.files[0])!r}),),
    rows={partition.rows})], output=Path({str(tmp_path / "killed")!r}), threads=1)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "killed").exists() and (tmp_path / ".killed.tmp").exists()
    assert train([partition], "killed").digest == train([partition], "whole").digest
    assert not (tmp_path / ".killed.tmp").exists()


def test_one_expert_trains_a_shared_bottom(train, make_partition, params) -> None:
    network = load_trainable(train([make_partition(DAY)], model=params.baseline).folder).network
    assert network.gates is None


def test_a_student_follows_its_teacher_where_labels_say_nothing(train, make_partition, params, tmp_path) -> None:
    partition = make_partition(DAY, rows=4000)
    teacher = train([partition], "teacher")
    scorer, taught = score(teacher.folder, partition, tmp_path / "t.parquet")
    source = Teacher(digest=scorer.digest, scores={DAY: tmp_path / "t.parquet"})
    alone = params.model_copy(update={"head_weights": {"click": 0.0}})
    for name, teachers in (("taught", [source]), ("untaught", [])):
        result = train([partition], name, params=alone, teacher_scores=teachers)
        _, scores = score(result.folder, partition, tmp_path / f"{name}.parquet")
        agreement = np.corrcoef(scores.logits["click"], taught.logits["click"])[0, 1]
        assert (agreement > 0.8) == bool(teachers)
        assert [ref.digest for ref in result.state.stages[0].teachers] == [scorer.digest] * len(teachers)
        assert (result.state.stages[0].curve[0].distillation is not None) == bool(teachers)


def test_a_teacher_of_another_schema_teaches_by_its_scores_alone(
    train, make_partition, small_schema, params, tmp_path
) -> None:
    partition = make_partition(DAY, rows=2000)
    narrow = small_schema.model_dump(mode="json")
    narrow["features"] = {"categorical": {"user_id": {"type": "int", "buckets": 64}}}
    narrow["labels"] = {"click": {}}
    teacher = train([partition], "teacher", schema=Schema.model_validate(narrow))
    scorer, _ = score(teacher.folder, partition, tmp_path / "t.parquet")
    source = Teacher(digest=scorer.digest, scores={DAY: tmp_path / "t.parquet"})
    result = train([partition], "taught", teacher_scores=[source])
    assert result.state.data_schema == small_schema
    assert result.state.stages[0].curve[-1].distillation > 0


@pytest.mark.parametrize(("loss", "towers"), [*((loss, False) for loss in DISTILLATION), ("pairwise_margin", True)])
def test_every_loss_trains_a_student_that_follows_its_teacher(
    train, make_partition, params, tmp_path, loss, towers
) -> None:
    """Labels are silenced, so that what the student learns came from the teacher."""
    partition = make_partition(DAY, rows=3000)
    values = pq.read_table(partition.files[0])["quality"].to_numpy()
    teach(partition, tmp_path / "t.parquet", 2 * values)
    distillation = params.distillation.model_copy(update={"loss": loss, "weight": 1.0})
    silent = params.model_copy(
        update={"head_weights": {"click": 0.0, "long_click": 0.0, "hide": 0.0}, "distillation": distillation}
    )
    model = params.model.model_copy(update={"distillation_towers": towers, "dropout": 0.0})
    source = Teacher(digest="planted", scores={DAY: tmp_path / "t.parquet"})
    result = train([partition], params=silent, model=model, teacher_scores=[source])
    network = load_trainable(result.folder).network
    (batch,) = stream_batches([partition], result.state.data_schema, result.state.moments, batch_size=3000)
    with torch.no_grad():
        outputs = network.outputs(batch.inputs)
    assert np.corrcoef(outputs.distilled["click"], values)[0, 1] > 0.9
    assert torch.equal(outputs.distilled["click"], outputs.logits["click"]) != towers


def teach(partition: Partition, path: Path, logit: np.ndarray) -> None:
    """The score set of a teacher that says `logit` of every row's click."""
    rows = pq.read_table(partition.files[0])
    write_scores(
        path,
        day=partition.day,
        model_digest="planted",
        example_id=rows["event_id"],
        group_id=rows["group_id"],
        view_type=rows["view_type"],
        logits={"click": logit.astype(np.float32)},
        labels={"click": np.full(len(logit), np.nan, dtype=np.float32)},
    )


def test_all_options_of_a_model_train_together_and_load(train, make_partition, params, small_schema) -> None:
    experts = [
        {"kind": "dcnv2", "layers": 2, "rank": 4, "mixture": 2, "full_layers": 1, "hidden": [16, 8]},
        {"kind": "dcnv2", "parallel": True, "hidden": [16, 8]},
        {"kind": "masknet", "parallel": True, "hidden": [16, 8]},
        {"kind": "finalmlp", "hidden": [16, 8], "stream_gates": [["user_id", "country"], ["view_type", "age"]]},
    ]
    model = ModelConfig.model_validate(
        {
            "experts": experts,
            "numeric_buckets": {"age": 8},
            "gate_inputs": ["view_type", "country", "age", "quality", "topics"],
            "gate_hidden": [4],
            "gate_per_view_type": True,
            "expert_dropout": 0.1,
            "tower_per_view_type": True,
            "distillation_towers": True,
        }
    )
    balanced = params.model_copy(update={"train": params.train.model_copy(update={"balance": 0.1})})
    result = train([make_partition(DAY, rows=1000)], model=model, params=balanced)
    gates = result.state.stages[0].curve[-1].gates
    assert set(gates) == set(small_schema.heads)
    assert all(0 < point.entropy <= 1 and 1 <= point.experts <= 4 for point in gates.values())
    loaded = load_trainable(result.folder)
    assert loaded.state == result.state and len(loaded.state.moments["age"].edges) == 7
    assert loaded.network.gates.hidden.layers[0].weight.shape == (6, 8 + 4 + 8 + 2 + 8, 4)
    left, right = loaded.network.experts.groups[3].gates
    assert left.hidden.weight.shape == (1, 8 + 4, 16) and right.hidden.weight.shape == (1, 8 + 8, 16)


@pytest.mark.parametrize(("balance", "kept"), [(0.0, False), (1.0, True)])
def test_load_regularisation_keeps_experts_in_use(train, make_partition, params, balance, kept, monkeypatch) -> None:
    """The gates start collapsed onto the first expert; without regularisation they stay there."""
    build = batch_module.build_network

    def collapsed(spec, seed, **options):
        network = build(spec, seed, **options)
        with torch.no_grad():
            network.gates.output.bias[:, :, 0] += 4.0
        return network

    monkeypatch.setattr(batch_module, "build_network", collapsed)
    config = params.model_copy(update={"train": params.train.model_copy(update={"balance": balance})})
    result = train([make_partition(DAY, rows=8000)], params=config)
    used = [point.experts for point in result.state.stages[0].curve[-1].gates.values()]
    assert all((experts > 1.8) == kept for experts in used), used


def test_a_gate_input_that_does_not_exist_is_refused_with_those_that_do(train, make_partition, params) -> None:
    model = params.model.model_copy(update={"gate_inputs": ("contry",)})
    with pytest.raises(ConfigError, match=r"gate_inputs='contry': no feature of the schema; use any of .*country"):
        train([make_partition(DAY)], model=model)


@pytest.mark.parametrize("wrong", ["adid", "view_type"])
def test_a_stream_gates_feature_that_experts_do_not_read_is_refused(train, make_partition, params, wrong) -> None:
    gated = ExpertConfig(kind="finalmlp", hidden=(16, 8), stream_gates=(("user_id",), (wrong,)))
    model = params.model.model_copy(update={"experts": (params.model.experts[0], gated), "view_dim": 0})
    with pytest.raises(ConfigError, match=rf"experts\.1\.stream_gates='{wrong}': no feature .*use any of user_id"):
        train([make_partition(DAY)], model=model)


def test_distillation_disabled_ignores_teachers(train, make_partition, params, tmp_path) -> None:
    partition = make_partition(DAY)
    off = params.model_copy(update={"distillation": params.distillation.model_copy(update={"enabled": False})})
    ignored = Teacher(digest="none", scores={})
    taught = train([partition], "one", params=off, teacher_scores=[ignored])
    assert taught.digest == train([partition], "two", params=off).digest


def test_the_calibrators_rows_of_the_newest_day_are_not_learned(train, make_partition) -> None:
    partitions = [make_partition(DAY), make_partition(NEXT)]
    share = GroupShare(salt="calibration", share=0.5, keep=False)
    kept = share.mask(pq.read_table(partitions[1].files[0])["group_id"].combine_chunks()).sum()
    stage = train(partitions, calibration=share).state.stages[0]
    assert stage.rows == 600 + kept and 0 < kept < 600 and stage.calibration == share


def test_progress_counts_rows_up_to_the_plan(train, make_partition) -> None:
    reports = []
    result = train([make_partition(DAY)], progress=reports.append)
    assert reports[-1].rows == reports[-1].rows_planned == 600
    assert reports[-1].curve == result.state.stages[0].curve[:-1], "the last step's point is made after its report"
    assert all(report.examples_per_second > 0 and report.loss > 0 for report in reports)


def test_a_diverging_training_stops_with_a_diagnosis(train, make_partition, params) -> None:
    rates = params.train.optimizer.model_copy(update={"embedding_lr": 1e30, "dense_lr": 1e30})
    wild = params.model_copy(update={"train": params.train.model_copy(update={"optimizer": rates})})
    with pytest.raises(TrainingError, match=r"step=\d+: training has diverged: .*lower dense_lr"):
        train([make_partition(DAY)], params=wild)


def test_days_are_needed_and_each_once(train, make_partition) -> None:
    with pytest.raises(TrainingError, match="no rows to train on"):
        train([])
    partition = make_partition(DAY)
    with pytest.raises(TrainingError, match="2026-03-01 is given twice"):
        train([partition, partition])


def test_training_leaves_threads_and_random_state_as_they_were(train, make_partition) -> None:
    torch.manual_seed(5)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    train([make_partition(DAY)], model=ModelConfig.model_validate({"experts": [{"kind": "mlp"}], "dropout": 0.5}))
    assert torch.equal(torch.random.get_rng_state(), before) and torch.get_num_threads() == threads


def test_a_log_with_one_text_feature_and_text_groups_is_enough(train, tmp_path) -> None:
    schema = Schema.model_validate(
        {
            "name": "tiny",
            "view_type": {"values": ["only"]},
            "group_id": "session",
            "features": {"categorical": {"word": {"buckets": 10}}},
            "labels": {"click": {}},
        }
    )
    columns = {
        "event_id": [str(row) for row in range(300)],
        "event_time": [datetime(2026, 3, 1, tzinfo=UTC)] * 300,
        "view_type": ["only"] * 300,
        "group_id": [f"s{row % 7}" for row in range(300)],
        "word": ["good" if row % 3 else "bad" for row in range(300)],
        "click": [int(row % 3 > 0) for row in range(300)],
    }
    arrow_schema = canonical_schema(schema, pa.string())
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in arrow_schema]
    pq.write_table(pa.table(arrays, schema=arrow_schema), tmp_path / "tiny.parquet")
    partition = Partition(day=DAY, digest="tiny", files=(tmp_path / "tiny.parquet",), rows=300)
    _, scores = score(train([partition], schema=schema).folder, partition, tmp_path / "s.parquet")
    assert roc_auc_score(scores.labels["click"], scores.logits["click"]) == 1
    assert len(set(scores.group)) == 7


def test_a_batch_normalised_model_scores_a_row_alone_as_among_others(train, make_partition, params, tmp_path) -> None:
    normed = params.model.model_copy(update={"normalization": "batch"})
    result = train([make_partition(DAY, rows=8000)], model=normed)
    partition = make_partition(NEXT, rows=3000)
    scorer, scores = score(result.folder, partition, tmp_path / "s.parquet")
    assert roc_auc_score(scores.labels["click"], scores.logits["click"]) > 0.75
    state = scorer.state
    alone = stream_batches([partition], state.data_schema, state.moments, batch_size=1)
    for row, batch in zip(range(5), alone, strict=False):
        np.testing.assert_allclose(
            scorer.logits(batch.inputs)["click"], scores.logits["click"][row], rtol=1e-4, atol=1e-5
        )


def test_a_batch_norm_of_one_row_a_step_is_refused(train, make_partition, params) -> None:
    normed = params.model.model_copy(update={"normalization": "batch"})
    lone = params.model_copy(update={"train": params.train.model_copy(update={"batch_size": 1})})
    with pytest.raises(ConfigError, match=r"normalization=batch: needs more than the 1 row .*raise train\.batch_size"):
        train([make_partition(DAY)], model=normed, params=lone)


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_a_last_step_of_one_row_leaves_a_finite_model(train, make_partition, params, normalization) -> None:
    model = params.model.model_copy(update={"normalization": normalization})
    result = train([make_partition(DAY, rows=2 * params.train.batch_size + 1)], model=model)
    assert result.state.steps == 3
    weights = load_trainable(result.folder).network.state_dict()
    assert all(bool(weight.isfinite().all()) for weight in weights.values())


def test_both_rates_fall_by_the_rows_learned(train, make_partition, params, monkeypatch) -> None:
    rates = params.train.optimizer.model_copy(update={"decay_share": 0.5, "warmup_share": 0.0})
    falling = params.model_copy(update={"train": params.train.model_copy(update={"optimizer": rates, "epochs": 2})})
    scales, step = [], Optimizer.step

    def seen(self, *scale):
        scales.append(scale)
        return step(self, *scale)

    monkeypatch.setattr(Optimizer, "step", seen)
    train([make_partition(DAY, rows=400)], params=falling)
    learned = [0, 128, 256, 384, 400, 528, 656, 784]
    expected = [min(1.0, (800 - rows) / 400) for rows in learned]
    assert scales == [(pytest.approx(each), pytest.approx(each)) for each in expected]
