"""mmoe.data.order: which process reads which row groups, in which windows."""

from datetime import date
from pathlib import Path

import pytest

from mmoe.data.order import Position, RowGroup, Shard, own, row_groups, spread, windows
from mmoe.errors import ConfigError

DAYS = [date(2026, 3, day) for day in (1, 2, 3)]


def groups(*rows: int, day: date = DAYS[0]) -> list[RowGroup]:
    return [
        RowGroup(day=day, file=Path("f"), index=index, rows=each, first=sum(rows[:index]))
        for index, each in enumerate(rows)
    ]


def test_row_groups_are_those_of_the_files_with_their_place_in_the_day(make_partition) -> None:
    partitions = [make_partition(day, rows=600, row_group=250) for day in DAYS[:2]]
    found = list(row_groups(partitions))
    assert [(group.day, group.index, group.rows, group.first) for group in found] == [
        (day, index, rows, first)
        for day in DAYS[:2]
        for index, rows, first in ((0, 250, 0), (1, 250, 250), (2, 100, 500))
    ]


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_shards_are_disjoint_complete_in_order_and_balanced_to_one_row_group(world) -> None:
    every = groups(70, 100, 30, 100, 100, 10, 100, 55)
    shards = [own(every, Shard(rank=rank, world=world)) for rank in range(world)]
    assert sorted(group.index for shard in shards for group in shard) == list(range(len(every)))
    for shard in shards:
        assert [group.index for group in shard] == sorted(group.index for group in shard)
    rows = [sum(group.rows for group in shard) for shard in shards]
    assert max(rows) - min(rows) <= 100


def test_a_rank_outside_its_world_is_refused() -> None:
    with pytest.raises(ConfigError, match="rank=2: with 2 processes it lies between 0 and 1"):
        Shard(rank=2, world=2)


def test_windows_hold_at_least_the_rows_asked_for_and_the_days_apart_where_asked() -> None:
    every = [*groups(40, 40, 40), *groups(40, 40, day=DAYS[1])]
    sizes = [[group.rows for group in window] for window in windows(every, 80, within_days=False)]
    assert sizes == [[40, 40], [40, 40], [40]]
    apart = windows(every, 80, within_days=True)
    assert [[group.day.day for group in window] for window in apart] == [[1, 1], [1], [2, 2]]
    assert [len(window) for window in windows(every, 0, within_days=False)] == [1] * 5


def test_replayed_row_groups_are_spread_by_the_windows_own_rows_and_the_same_for_the_same_seed() -> None:
    """A window of half the rows gets half as many of the others; none is lost, none comes twice."""
    planned = [tuple(groups(80, 80)), tuple(groups(80, 80)), tuple(groups(80))]
    earlier = groups(*[40] * 25, day=date(2026, 2, 1))
    spreads = [spread(planned, earlier, seed) for seed in (3, 3, 4)]
    assert spreads[0] == spreads[1] != spreads[2]
    for found in spreads:
        dealt = [window[len(own) :] for window, own in zip(found, planned, strict=True)]
        assert all(window[: len(own)] == own for window, own in zip(found, planned, strict=True))
        assert [len(window) for window in dealt] == [10, 10, 5]
        assert sorted(group.index for window in dealt for group in window) == list(range(25))
    assert spread(planned, [], 3) == planned
    assert spread([], earlier, 3)[0] and not spread([], [], 3)


def test_a_position_survives_its_json() -> None:
    position = Position(epoch=1, window=2, row=3)
    assert Position.model_validate_json(position.model_dump_json()) == position
