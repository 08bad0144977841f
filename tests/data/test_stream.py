"""mmoe.data.stream and teachers: every row once, in a known order, with the right teacher beside it."""

import threading
from datetime import date
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmoe.data.features import encode
from mmoe.data.hashing import GroupShare
from mmoe.data.moments import measure_moments
from mmoe.data.order import Shard
from mmoe.data.rows import Layout
from mmoe.data.scores import write_scores
from mmoe.data.stream import stream_batches
from mmoe.data.teachers import Teacher
from mmoe.data.windows import WindowReader
from mmoe.errors import CorruptionError, TrainingError

DAYS = [date(2026, 3, 1), date(2026, 3, 2)]


@pytest.fixture
def partitions(make_partition):
    return [make_partition(day) for day in DAYS]


@pytest.fixture
def moments(partitions, small_schema):
    return measure_moments(partitions, small_schema)


def everywhere(*shares):
    return dict.fromkeys(DAYS, shares)


@pytest.fixture
def stream(partitions, small_schema, moments):
    def run(**options):
        return list(stream_batches(partitions, small_schema, moments, **({"batch_size": 256} | options)))

    return run


def ids(batches) -> list[str]:
    return [value for batch in batches for value in batch.identity["event_id"].to_pylist()]


def table(partitions) -> pa.Table:
    return pa.concat_tables([pq.read_table(partition.files[0]) for partition in partitions])


def test_unshuffled_batches_are_the_partitions_rows_in_order(stream, partitions, small_schema, moments) -> None:
    batches = stream(with_identity=True)
    assert [len(batch) for batch in batches] == [256, 256, 256, 256, 176]
    assert ids(batches) == table(partitions)["event_id"].to_pylist()
    whole = encode(table(partitions), small_schema, moments)
    joined = torch.cat([batch.inputs.categorical_BF for batch in batches])
    np.testing.assert_array_equal(joined, whole.categorical)
    np.testing.assert_array_equal(torch.cat([batch.inputs.bag_values[0] for batch in batches]), whole.bags[0].values)
    np.testing.assert_array_equal(torch.cat([batch.labels_BH for batch in batches]), whole.labels)


def test_shuffling_moves_whole_rows_and_loses_none(stream, partitions, small_schema, moments) -> None:
    batches = stream(shuffle_rows=700, seed=3, with_identity=True)
    order = ids(batches)
    assert sorted(order) == sorted(table(partitions)["event_id"].to_pylist()) != order
    position = {value: index for index, value in enumerate(table(partitions)["event_id"].to_pylist())}
    whole = encode(table(partitions), small_schema, moments).take(np.array([position[value] for value in order]))
    first = batches[0].inputs
    np.testing.assert_array_equal(
        torch.cat([batch.inputs.numeric_BN for batch in batches]), np.nan_to_num(whole.numeric)
    )
    starts = [*first.bag_offsets[0].tolist(), len(first.bag_values[0])]
    for row in range(256):
        bag = whole.bags[0]
        expected = bag.values[bag.offsets[row] : bag.offsets[row] + bag.counts[row]]
        assert first.bag_values[0][starts[row] : starts[row + 1]].tolist() == expected.tolist()


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(stream) -> None:
    one, again, other = (ids(stream(shuffle_rows=700, seed=seed, with_identity=True)) for seed in (3, 3, 4))
    assert one == again != other


def test_a_bounded_buffer_keeps_later_days_later(stream) -> None:
    order = ids(stream(shuffle_rows=600, with_identity=True))
    assert {value[:10] for value in order[:600]} == {"2026-03-01"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle_rows": 300, "epochs": 2},
        {"shuffle_rows": 300, "within_days": True},
        {"shuffle_rows": 300, "within_days": True, "replayed": True},
    ],
)
def test_from_any_batchs_position_the_rest_of_the_stream_follows_bit_by_bit(stream, make_partition, options) -> None:
    if "replayed" in options:
        earlier = make_partition(date(2026, 2, 27), rows=700, row_group=100)
        share = GroupShare(salt="replay", share=0.5, keep=True)
        options = options | {"replayed": [earlier], "groups": {earlier.day: (share,)}}
    whole = stream(batch_size=190, **options)
    for index, batch in enumerate(whole):
        rest = stream(batch_size=190, start=batch.after, **options)
        assert [other.after for other in rest] == [other.after for other in whole[index + 1 :]]
        for one, other in zip(whole[index + 1 :], rest, strict=True):
            assert torch.equal(one.words, other.words)
            assert all(map(torch.equal, one.bag_values + one.bag_offsets, other.bag_values + other.bag_offsets))


def test_a_resumed_stream_reads_no_window_before_its_position(stream, monkeypatch) -> None:
    whole, read = stream(batch_size=190, shuffle_rows=300), []
    load = WindowReader._load
    monkeypatch.setattr(
        WindowReader, "_load", lambda self, group, *rest: read.append(group) or load(self, group, *rest)
    )
    stream(batch_size=190, shuffle_rows=300, start=whole[-2].after)
    assert {(group.day, group.index) for group in read} == {(DAYS[1], 1), (DAYS[1], 2)}


def test_epochs_shuffle_anew_and_each_holds_every_row(stream) -> None:
    order = ids(stream(shuffle_rows=700, epochs=2, with_identity=True))
    assert sorted(order[:1200]) == sorted(order[1200:]) and order[:1200] != order[1200:]


def test_shards_together_hold_every_row_once(stream, partitions) -> None:
    shards = [ids(stream(shuffle_rows=300, shard=Shard(rank=rank, world=2), with_identity=True)) for rank in (0, 1)]
    assert sorted(shards[0] + shards[1]) == sorted(table(partitions)["event_id"].to_pylist())
    assert not set(shards[0]) & set(shards[1])


@pytest.mark.parametrize("world", [1, 2])
def test_replayed_days_are_spread_among_the_new_ones_which_stay_in_order(
    stream, partitions, make_partition, world
) -> None:
    earlier = [make_partition(date(2026, 2, day), rows=900, row_group=90) for day in (26, 27)]
    share = GroupShare(salt="replay", share=0.3, keep=True)
    options = {
        "shuffle_rows": 400, "within_days": True, "replayed": earlier, "with_identity": True, "batch_size": 64,
        "groups": {partition.day: (share,) for partition in earlier},
    }  # fmt: skip
    orders = [ids(stream(**options, shard=Shard(rank=rank, world=world))) for rank in range(world)]
    again = table(earlier)
    kept = again.filter(pa.array(share.mask(again["group_id"].combine_chunks())))["event_id"].to_pylist()
    new = table(partitions)["event_id"].to_pylist()
    assert sorted(value for order in orders for value in order) == sorted([*kept, *new])
    for order in orders:
        replayed = np.array([value < "2026-03" for value in order])
        quarters = [quarter.mean() for quarter in np.array_split(replayed, 4)]
        assert min(quarters) > replayed.mean() / 3, quarters
        days = [value[:10] for value in order if value >= "2026-03"]
        assert days == sorted(days)


def test_the_memory_of_a_window_holds_what_is_replayed_too(make_partition, small_schema, moments, monkeypatch) -> None:
    """900 rows of an earlier day beside 600 new ones: the windows hold fewer new rows, not more rows."""
    asked: list[int] = []
    empty = Layout.empty
    monkeypatch.setattr(Layout, "empty", lambda layout, rows: asked.append(rows) or empty(layout, rows))
    new, earlier = (make_partition(date(2026, 4, day), rows=rows, row_group=50) for day, rows in ((2, 600), (1, 900)))
    batches = stream_batches([new], small_schema, moments, batch_size=64, shuffle_rows=250, replayed=[earlier])
    assert sum(map(len, batches)) == 1500
    assert max(asked) <= 250 + 2 * 50


def test_within_days_no_day_starts_before_the_one_before_has_ended(stream) -> None:
    order = ids(stream(shuffle_rows=1200, within_days=True, with_identity=True))
    assert [value[:10] for value in order] == ["2026-03-01"] * 600 + ["2026-03-02"] * 600


def test_memory_is_that_of_two_windows_however_many_days(make_partition, small_schema, moments, monkeypatch) -> None:
    buffers, empty = [], Layout.empty
    monkeypatch.setattr(Layout, "empty", lambda self, rows: buffers.append(rows) or empty(self, rows))
    days = [make_partition(date(2026, 4, day)) for day in range(1, 9)]
    assert (
        sum(len(batch) for batch in stream_batches(days, small_schema, moments, batch_size=64, shuffle_rows=300))
        == 4800
    )
    assert len(buffers) == 2 and max(buffers) == 500


def test_a_missing_number_is_flagged_and_zero(stream, partitions) -> None:
    inputs = [batch.inputs for batch in stream()]
    missing = table(partitions)["age"].is_null().to_numpy()
    flags, values = torch.cat([each.missing_BN for each in inputs]), torch.cat([each.numeric_BN for each in inputs])
    np.testing.assert_array_equal(flags, np.stack([missing, np.zeros_like(missing)], axis=1))
    assert (values[:, 0].numpy()[missing] == 0).all() and values.isfinite().all()


def test_a_stream_that_is_left_early_leaves_no_thread(partitions, small_schema, moments) -> None:
    batches = stream_batches(partitions, small_schema, moments, batch_size=8, shuffle_rows=100)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mmoe-read")]


def test_with_groups_whole_groups_are_shuffled_and_rows_without_one_stand_alone(partitions, small_schema, moments):
    path = partitions[0].files[0]
    rows = pq.read_table(path)
    group = pa.array([None if row % 9 == 0 else row % 20 for row in range(len(rows))], pa.int64())
    pq.write_table(rows.set_column(rows.schema.get_field_index("group_id"), "group_id", group), path)
    options = {"batch_size": 10_000, "shuffle_rows": 10_000, "with_groups": True, "with_identity": True}
    (first,), (second,) = (
        stream_batches(partitions[:1], small_schema, moments, **options, seed=seed) for seed in (0, 1)
    )
    ids, codes = first.identity["group_id"].to_pylist(), first.group_B.tolist()
    assert len({code for code in codes if code >= 0}) == 20
    assert all((code == -1) == (name is None) for code, name in zip(codes, ids, strict=True))
    runs = 1 + sum(a != b for a, b in pairwise(codes) if (a, b) != (-1, -1))
    assert runs <= 20 + codes.count(-1), "each group is one run"
    assert sorted(first.identity["event_id"].to_pylist()) == sorted(rows["event_id"].to_pylist())
    assert codes != second.group_B.tolist()


def test_a_group_share_and_its_complement_make_the_whole(stream, partitions) -> None:
    inside = ids(stream(groups=everywhere(GroupShare(salt="s", share=0.3, keep=True)), with_identity=True))
    outside = ids(stream(groups=everywhere(GroupShare(salt="s", share=0.3, keep=False)), with_identity=True))
    assert not set(inside) & set(outside) and len(inside) + len(outside) == 1200
    group = dict(zip(*table(partitions).select(["event_id", "group_id"]).to_pydict().values(), strict=True))
    assert not {group[i] for i in inside} & {group[i] for i in outside}


def write_teacher(folder, partitions, digest="t1", **change) -> Teacher:
    paths = {}
    for partition in partitions:
        rows = pq.read_table(partition.files[0])
        code = np.arange(len(rows)) + 10_000.0 * partition.day.day
        content = {
            "example_id": rows["event_id"],
            "group_id": rows["group_id"],
            "view_type": rows["view_type"],
            "logits": {"click": code, "skip": -code},
            "labels": {"click": code * np.nan, "skip": code * np.nan},
        }
        paths[partition.day] = folder / f"{partition.day}.parquet"
        write_scores(paths[partition.day], day=partition.day, model_digest=digest, **(content | change))
    return Teacher(digest="t1", scores=paths, head_map={"hide": "skip"})


def test_shares_of_a_day_leave_other_days_alone_and_all_must_keep_a_row(stream, partitions) -> None:
    both = [GroupShare(salt="a", share=0.5, keep=False), GroupShare(salt="b", share=0.5, keep=True)]
    found = [row for batch in stream(groups={DAYS[1]: both}, with_identity=True) for row in ids([batch])]
    first, second = (pq.read_table(partition.files[0]) for partition in partitions)
    kept = both[0].mask(second["group_id"].combine_chunks()) & both[1].mask(second["group_id"].combine_chunks())
    expected = first["event_id"].to_pylist() + second["event_id"].filter(pa.array(kept)).to_pylist()
    assert 0 < kept.sum() < len(kept)
    assert sorted(found) == sorted(expected)


def test_teacher_logits_follow_their_rows_through_shuffle_and_group_share(stream, partitions, tmp_path) -> None:
    teacher = write_teacher(tmp_path, partitions)
    share = GroupShare(salt="s", share=0.5, keep=False)
    for batch in stream(teachers=[teacher, teacher], shuffle_rows=500, groups=everywhere(share), with_identity=True):
        codes = [10_000.0 * int(i[8:10]) + int(i[11:]) for i in batch.identity["event_id"].to_pylist()]
        logits = batch.teachers_BH[1]
        assert logits[:, 0].tolist() == codes and logits[:, 2].tolist() == [-code for code in codes]
        assert logits[:, 1].isnan().all()  # the teacher has no long_click


def test_beside_a_teacher_the_rows_of_a_batch_stand_view_type_by_view_type(stream, partitions, tmp_path) -> None:
    teacher = write_teacher(tmp_path, partitions)
    options = {"shuffle_rows": 500, "with_identity": True}
    for plain, arranged in zip(stream(**options), stream(teachers=[teacher], **options), strict=True):
        view_types = plain.inputs.view_type_B
        order = view_types.argsort(stable=True).tolist()
        assert order != list(range(len(plain))) and plain.view_type_sizes is None
        assert ids([arranged]) == [ids([plain])[row] for row in order] and arranged.after == plain.after
        assert arranged.view_type_sizes == tuple(view_types.bincount().tolist())
        assert arranged.spoken == ((0, 2),)


def test_a_teacher_that_skips_a_day_is_refused(stream, partitions, tmp_path) -> None:
    teacher = write_teacher(tmp_path, partitions[:1])
    with pytest.raises(TrainingError, match="no score set for 2026-03-02; score the day first"):
        stream(teachers=[teacher])


def test_scores_of_another_model_or_of_other_examples_are_corruption(stream, partitions, tmp_path) -> None:
    with pytest.raises(CorruptionError, match="score again"):
        stream(teachers=[write_teacher(tmp_path, partitions, digest="t2")])
    backwards = [f"x{row}" for row in range(600)]
    with pytest.raises(CorruptionError, match="its examples are not the partition's"):
        stream(teachers=[write_teacher(tmp_path, partitions, example_id=backwards)])


def test_a_head_map_to_nowhere_is_refused(stream, partitions, tmp_path) -> None:
    teacher = write_teacher(tmp_path, partitions)
    with pytest.raises(TrainingError, match="head_map names 'hidden'"):
        stream(teachers=[Teacher(digest="t1", scores=teacher.scores, head_map={"hidden": "skip"})])
