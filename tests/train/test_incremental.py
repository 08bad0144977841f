"""mmoe.train.incremental: goes on where training stopped, without a teacher, never twice on a day."""

import inspect
from datetime import date

import pyarrow.parquet as pq
import pytest
import torch

from mmoe.config import Params
from mmoe.data.hashing import GroupShare
from mmoe.errors import ConfigError, SchemaError, TrainingError
from mmoe.lake.reader import Partition
from mmoe.schema import Schema
from mmoe.train.checkpoint import load_trainable
from mmoe.train.incremental import train_incremental
from mmoe.train.state import model_digest

DAYS = [date(2026, 3, day) for day in (1, 2, 3)]


@pytest.fixture
def go_on(trained, small_schema, params, tmp_path):
    def run(partitions, name="out", start=trained.folder, **change):
        options = {"schema": small_schema, "params": params, "threads": 1}
        return train_incremental(
            **(options | {"start": start, "partitions": partitions, "output": tmp_path / name} | change)
        )

    return run


def trained_day(trained) -> Partition:
    """The day that `trained` has learned."""
    file = trained.folder.parent / "lake" / f"dt={DAYS[0]}" / "part-0.parquet"
    return Partition(day=DAYS[0], digest=trained.state.days[0].digest, files=(file,), rows=1000)


def test_there_is_no_way_to_pass_a_teacher() -> None:
    names = set(inspect.signature(train_incremental).parameters)
    rows = {"partitions", "replayed", "holdout", "calibration"}
    assert names == {"start", "schema", "params", "output", "threads", "progress", "cadence", "group"} | rows


def test_lineage_grows_by_a_stage_and_the_start_is_left_alone(go_on, trained, make_partition) -> None:
    before = model_digest(trained.folder)
    result = go_on([make_partition(DAYS[1])])
    batch, incremental = result.state.stages
    assert (batch.kind, incremental.kind) == ("batch", "incremental")
    assert incremental.start == before == model_digest(trained.folder) and batch == trained.state.stages[0]
    assert [seen.day for seen in result.state.days] == DAYS[:2] and result.state.rows == 1600
    assert result.state.moments == trained.state.moments


def test_weights_move_from_where_they_were(go_on, trained, make_partition) -> None:
    old, new = load_trainable(trained.folder), load_trainable(go_on([make_partition(DAYS[1])]).folder)
    assert all(new.optimizer[key] == old.optimizer[key] + 5 for key in old.optimizer if key.endswith(".step"))
    for key, sums in old.optimizer.items():
        if key.startswith("adagrad."):
            assert (new.optimizer[key] >= sums).all() and (new.optimizer[key] > sums).any()
    weights = new.network.state_dict()
    for name, weight in old.network.state_dict().items():
        if weight.is_floating_point():
            assert not torch.equal(weight, weights[name]) and (weight - weights[name]).abs().max() < 1


def test_two_days_at_once_are_learned_in_order(go_on, make_partition) -> None:
    second, third = make_partition(DAYS[1]), make_partition(DAYS[2])
    at_once = go_on([third, second], "at_once")
    first_step = go_on([second], "second")
    in_turn = go_on([third], "third", start=first_step.folder)
    assert [seen.day for seen in at_once.state.days] == DAYS == [seen.day for seen in in_turn.state.days]


def test_the_same_inputs_give_the_same_bits_and_a_finished_run_is_returned(go_on, make_partition) -> None:
    partition = make_partition(DAYS[1])
    one, two, again = go_on([partition], "one"), go_on([partition], "two"), go_on([partition], "one")
    assert one.digest == two.digest == again.digest and again.reused and not one.reused


def test_the_holdout_keeps_groups_of_the_newest_day_alone_out(go_on, make_partition) -> None:
    days = [make_partition(DAYS[1]), make_partition(DAYS[2])]
    share = GroupShare(salt="2026-03-03", share=0.5, keep=False)
    result = go_on(days, holdout=share)
    assert 600 < result.state.stages[-1].rows < 1150
    assert result.state.stages[-1].holdout == share


def test_the_calibrators_rows_are_left_out_beside_the_gates(go_on, make_partition) -> None:
    days = [make_partition(DAYS[1]), make_partition(DAYS[2])]
    holdout, calibration = (GroupShare(salt=salt, share=0.4, keep=False) for salt in ("gate", "calibration"))
    newest = pq.read_table(days[1].files[0])["group_id"].combine_chunks()
    learned = holdout.mask(newest) & calibration.mask(newest)
    result = go_on(days, holdout=holdout, calibration=calibration)
    assert result.state.stages[-1].rows == 600 + learned.sum()
    assert result.state.stages[-1].calibration == calibration


@pytest.fixture
def replaying(params):
    """params.yaml with `incremental: {replay: {days: 2, share: …}}`."""

    def changed(share):
        settings = {"incremental": {"replay": {"days": 2, "share": share}}}
        return Params.model_validate(params.model_dump(mode="json") | settings)

    return changed


def test_a_share_of_replayed_days_is_learned_beside_the_new_rows_and_recorded(
    go_on, trained, make_partition, replaying
) -> None:
    first = trained_day(trained)
    result = go_on([make_partition(DAYS[1])], replayed=[first], params=replaying(0.4))
    stage = result.state.stages[-1]
    groups = pq.read_table(first.files[0])["group_id"].combine_chunks()
    assert stage.replay.share == 0.4 and stage.replay.keep
    assert stage.rows == 600 + stage.replay.mask(groups).sum() and 800 < stage.rows < 1200
    assert [(seen.day, seen.digest) for seen in stage.replayed] == [(DAYS[0], first.digest)]
    assert [seen.day for seen in result.state.days] == DAYS[:2], "a replayed day was learned before"
    assert go_on([make_partition(DAYS[2])], "next", start=result.folder).state.stages[-1].replayed == ()


def test_each_update_replays_other_groups_and_the_same_update_the_same(
    go_on, trained, make_partition, replaying
) -> None:
    first, second, third = trained_day(trained), make_partition(DAYS[1]), make_partition(DAYS[2])
    options = {"replayed": [first], "params": replaying(0.4)}
    one, two = go_on([second], "one", **options), go_on([second], "two", **options)
    assert one.digest == two.digest != go_on([second], "without").digest
    later = go_on([third], "later", **options)
    groups = pq.read_table(first.files[0])["group_id"].combine_chunks()
    masks = [result.state.stages[-1].replay.mask(groups) for result in (one, later)]
    assert (masks[0] & ~masks[1]).any() and (masks[1] & ~masks[0]).any()


def test_a_day_that_was_never_learned_cannot_be_replayed(go_on, make_partition, replaying) -> None:
    with pytest.raises(TrainingError, match="replayed: the model has not learned 2026-03-02; replay only"):
        go_on([make_partition(DAYS[2])], replayed=[make_partition(DAYS[1])], params=replaying(0.4))


def test_replayed_days_without_a_share_are_refused_with_the_fix(go_on, trained, make_partition) -> None:
    with pytest.raises(ConfigError, match=r"incremental.replay: absent, but 1 days are to be replayed; add it"):
        go_on([make_partition(DAYS[1])], replayed=[trained_day(trained)])


def test_a_day_already_learned_is_refused(go_on, make_partition, trained) -> None:
    seen = make_partition(DAYS[1])
    result = go_on([seen], "one")
    with pytest.raises(TrainingError, match="already learned 2026-03-02"):
        go_on([seen, make_partition(DAYS[2])], "two", start=result.folder)


def test_another_schema_is_refused_with_the_fix(go_on, make_partition, small_schema) -> None:
    changed = small_schema.model_dump(mode="json")
    changed["features"]["categorical"]["user_id"]["buckets"] = 501
    with pytest.raises(SchemaError, match="batch-train a model under the new schema"):
        go_on([make_partition(DAYS[1])], schema=Schema.model_validate(changed))
