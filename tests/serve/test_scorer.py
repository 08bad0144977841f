"""mmoe.serve.scorer: score sets that equal the network's own logits, row by row."""

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from mmoe.data.hashing import GroupShare
from mmoe.data.scores import read_day_scores, read_scores
from mmoe.data.stream import stream_batches
from mmoe.data.teachers import DayTeacher, Teacher
from mmoe.errors import CorruptionError
from mmoe.evaluate.calibration import Calibrator, Isotonic, Platt
from mmoe.schema import Slice
from mmoe.serve.export import export_bundle
from mmoe.serve.scorer import Scorer
from mmoe.train.checkpoint import load_trainable


@pytest.fixture
def bundle(trained, tmp_path):
    export_bundle(trained.folder, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def partition(make_partition, next_day):
    return make_partition(next_day)


def test_a_score_set_holds_the_trained_networks_logits_in_row_order(bundle, trained, partition, tmp_path) -> None:
    Scorer.load(bundle, threads=1).score_partition(partition, tmp_path / "s.parquet")
    scores = read_scores([tmp_path / "s.parquet"])
    rows = pq.read_table(partition.files[0])
    assert scores.example_id.to_pylist() == rows["event_id"].to_pylist() and scores.days == (partition.day,)
    view_types = scores.slices["view_type"]
    assert [view_types.names[code] for code in view_types.codes] == rows["view_type"].to_pylist()
    assert scores.model_digest == trained.digest
    state, network = trained.state, load_trainable(trained.folder).network.eval()
    for start, batch in enumerate(stream_batches([partition], state.data_schema, state.moments, batch_size=100)):
        with torch.no_grad():
            logits = network(batch.inputs)
        for index, head in enumerate(state.heads):
            part = slice(start * 100, start * 100 + 100)
            np.testing.assert_allclose(scores.logits[head][part], logits[head], rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(scores.labels[head][part], batch.labels_BH[:, index])


def test_a_calibrated_scorer_serves_and_an_uncalibrated_one_teaches_from_one_bundle(
    trained, partition, tmp_path
) -> None:
    maps = {"search": Platt(slope=2.0, intercept=-1.0), "home_feed": Isotonic(
        logits=(-1.0, 1.0), calibrated=(-3.0, 0.5), positives=1, rows=2
    )}  # fmt: skip
    calibrator = Calibrator(day=partition.day, model_digest=trained.digest, maps={"click": maps})
    export_bundle(trained.folder, tmp_path / "both", calibrator)
    teacher, server = (Scorer.load(tmp_path / "both", threads=1, calibrated=on) for on in (False, True))
    for name, scorer in (("teaches", teacher), ("serves", server)):
        scorer.score_partition(partition, tmp_path / name)
    taught, served = read_day_scores(tmp_path / "teaches"), read_day_scores(tmp_path / "serves")
    assert taught.model_digest == trained.digest
    assert served.model_digest == server.digest and server.digest.startswith(f"{trained.digest}-calibrated-")
    np.testing.assert_array_equal(served.logits["hide"], taught.logits["hide"])
    view_type = np.array(pq.read_table(partition.files[0])["view_type"].to_pylist())
    for name, own in maps.items():
        expected = own.apply(taught.logits["click"][view_type == name])
        np.testing.assert_allclose(served.logits["click"][view_type == name], expected, rtol=1e-5)
    (batch,) = server.batches(partition)
    expected = 1 / (1 + np.exp(-served.logits["click"].astype(float)))
    np.testing.assert_allclose(server.probabilities(batch.inputs)["click"], expected, rtol=1e-5)
    with pytest.raises(CorruptionError, match="score again"):
        DayTeacher(
            Teacher(digest=trained.digest, scores={partition.day: tmp_path / "serves"}), partition.day, ("click",)
        )


def test_scoring_twice_writes_the_same_bytes(bundle, partition, tmp_path) -> None:
    scorer = Scorer.load(bundle, threads=1)
    for name in ("one", "two"):
        scorer.score_partition(partition, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_bfloat16_scores_are_close_and_marked_as_such(bundle, partition, tmp_path) -> None:
    for precision in ("float32", "bfloat16"):
        Scorer.load(bundle, precision, threads=1).score_partition(partition, tmp_path / precision)
    plain, mixed = read_scores([tmp_path / "float32"]), read_scores([tmp_path / "bfloat16"])
    assert mixed.model_digest == f"{plain.model_digest}-bfloat16"
    difference = np.abs(plain.logits["click"] - mixed.logits["click"])
    assert 0 < difference.max() < 0.1


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_is_not_emulated(bundle, monkeypatch, native, dtype) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    network = Scorer.load(bundle, "bfloat16", threads=1).network
    assert {weight.dtype for weight in network.experts.parameters()} == {dtype}
    assert all((weight == weight.bfloat16().to(dtype)).all() for weight in network.experts.parameters())


def test_a_group_share_scores_only_its_rows(bundle, partition, tmp_path) -> None:
    share = GroupShare(salt="s", share=0.3, keep=True)
    scorer = Scorer.load(bundle, threads=1)
    scorer.score_partition(partition, tmp_path / "share", groups=[share])
    kept = share.mask(pq.read_table(partition.files[0])["group_id"].combine_chunks())
    scores = read_scores([tmp_path / "share"])
    assert scores.rows == kept.sum() and 0 < scores.rows < partition.rows


def test_declared_slices_are_columns_of_the_score_set(bundle, partition, small_schema, tmp_path) -> None:
    cut = small_schema.model_copy(update={"slices": {"age": Slice(of="age", edges=(30,))}})
    share = GroupShare(salt="s", share=0.3, keep=True)
    Scorer.load(bundle, threads=1).score_partition(partition, tmp_path / "cut", groups=[share], schema=cut)
    scores = read_scores([tmp_path / "cut"])
    table = pq.read_table(partition.files[0]).filter(pc.is_in(pc.field("event_id"), scores.example_id))
    age = table["age"].to_numpy()
    names = np.array(scores.slices["age"].names)[scores.slices["age"].codes]
    assert (names == np.where(np.isnan(age), "missing", np.where(age < 30, "under 30", "from 30"))).all()


def test_a_share_without_rows_is_an_empty_score_set(bundle, partition, tmp_path) -> None:
    nobody = GroupShare(salt="s", share=1e-9, keep=True)
    Scorer.load(bundle, threads=1).score_partition(partition, tmp_path / "none", groups=[nobody])
    assert read_scores([tmp_path / "none"]).rows == 0


def test_gate_use_is_the_mean_of_the_gates_by_view_type(bundle, partition, trained) -> None:
    use = Scorer.load(bundle, threads=1).gate_use(partition)
    assert set(use) == set(trained.state.heads) and set(use["click"]) == {"search", "home_feed"}
    (batch,) = stream_batches([partition], trained.state.data_schema, trained.state.moments, batch_size=600)
    weights = load_trainable(trained.folder).network.gate_weights(batch.inputs)["click"]
    search = weights[batch.inputs.view_type_B == 0].mean(dim=0)
    assert use["click"]["search"] == pytest.approx(search.tolist(), abs=1e-5)
    assert sum(use["click"]["search"]) == pytest.approx(1)
