from collections import defaultdict

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmoe.lake import merge, spill
from mmoe.lake.merge import merge_sorted
from mmoe.lake.spill import Spill

SCHEMA = pa.schema({"event_id": pa.string(), "number": pa.int64()})
KEYED = pa.schema({"event_time": pa.timestamp("us", tz="UTC"), "event_id": pa.string()})
KEY = st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.one_of(st.none(), st.sampled_from("abcdef")))


@pytest.mark.parametrize("limit", [0, 5_000, 1 << 30])
def test_every_row_comes_back_once_with_all_of_its_event_in_one_shard_and_in_order(tmp_path, limit):
    spilled = Spill(tmp_path, SCHEMA, limit=limit)
    ids = [None if number % 50 == 0 else f"event {number % 131}" for number in range(2_000)]
    for start in range(0, 2_000, 100):
        chunk = {"event_id": ids[start : start + 100], "number": range(start, start + 100)}
        spilled.add(pa.table({**chunk, "number": list(chunk["number"])}, schema=SCHEMA))
    found, shards_of = [], defaultdict(set)
    for shard, rows in enumerate(spilled.shards()):
        last: dict[str, int] = {}
        for row in rows.to_pylist():
            if row["event_id"] is not None:
                shards_of[row["event_id"]].add(shard)
                assert last.get(row["event_id"], -1) < row["number"]
                last[row["event_id"]] = row["number"]
            found.append((row["number"], row["event_id"]))
    assert sorted(found) == list(enumerate(ids))
    assert all(len(shards) == 1 for shards in shards_of.values())
    assert not any(tmp_path.iterdir())


def test_rows_without_an_id_do_not_all_meet_in_one_shard(tmp_path):
    spilled = Spill(tmp_path, SCHEMA, limit=0)
    spilled.add(pa.table({"event_id": pa.nulls(6_400, pa.string()), "number": range(6_400)}, schema=SCHEMA))
    assert {rows.num_rows for rows in spilled.shards()} == {6_400 // spill.SHARDS}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(KEY, max_size=20), max_size=5), st.integers(1, 4))
def test_merged_runs_are_all_rows_in_order_with_nulls_last(tmp_path_factory, runs, batch_rows):
    tables = [
        pa.table({"event_time": [key[0] for key in run], "event_id": [key[1] for key in run]}, schema=KEYED)
        for run in runs
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "BATCH_ROWS", batch_rows)
        pieces = list(merge_sorted(tables, tmp_path_factory.mktemp("runs")))
    rows = [tuple(row.values()) for piece in pieces for row in piece.to_pylist()]
    expected = [key for run in runs for key in run]
    last = "~"
    times = [None if time is None else time.microsecond for time, _ in rows]
    merged = list(zip(times, (name for _, name in rows), strict=True))
    assert merged == sorted(expected, key=lambda key: (99 if key[0] is None else key[0], key[1] or last))
