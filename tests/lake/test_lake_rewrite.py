"""Parts of a day that expire before the rest: rows of a view type, and labels."""

import bz2
import gzip
import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from every_store import EVERY_STORE
from handmade import SCHEMA, deliver, raw_rows, replaced
from interrupted import Interrupted, InterruptedStore
from lakes import AS_OF, DAYS, copies_of, expire, planned, publish_day, state

from mmoe.config import RetentionConfig
from mmoe.errors import LakeError, PartitionExpiredError
from mmoe.lake import ledger
from mmoe.lake.audit import audit
from mmoe.lake.holds import Hold, add_hold, end_hold
from mmoe.lake.horizon import Horizon, advance_horizon
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Validation, file_digest
from mmoe.lake.partitions import manifest_key, partition_prefix, scores_key
from mmoe.lake.publish import publish
from mmoe.lake.reader import open_partition, published_days, read_manifest
from mmoe.lake.registered import registered_stores
from mmoe.lake.store import open_store
from mmoe.schema import Source
from mmoe.settings import Settings

PARTS = RetentionConfig(days=5, view_types={"search": 3}, labels={"long_click": 2}, max_share=0.9)
# The horizon is DAYS[1]; search goes before DAYS[3], long clicks before DAYS[4].
HELD = Hold(first=DAYS[2], last=DAYS[2], owner="legal", reason="case 18", until=AS_OF, added_by="ada")


def rows_of(lake, day):
    partition = open_partition(lake.store, day, SCHEMA)
    return pa.concat_tables([pq.read_table(file) for file in partition.files])


def damage(path, place):
    content = bytearray(path.read_bytes())
    content[place : place + 8] = b"\xff" * 8
    path.write_bytes(content)


def landed(landing, day):
    return pq.read_table(landing / f"dt={day}" / "part-0.parquet")


def test_rows_and_labels_behind_a_horizon_of_their_own_leave_a_day_that_stays(lake, landing):
    before = {day: rows_of(lake, day) for day in DAYS}
    outcome = expire(lake, PARTS)
    assert published_days(lake.store) == DAYS[1:]
    for day in DAYS[1:]:
        expected = before[day]
        if day < DAYS[3]:
            expected = expected.filter(pc.not_equal(expected["view_type"], "search"))
        if day < DAYS[4]:
            expected = replaced(expected, "long_click", pa.nulls(len(expected), pa.int8()))
        assert rows_of(lake, day).equals(expected), day
        manifest = read_manifest(lake.store, day)
        assert manifest.rows == len(expected)
        assert manifest.view_type_rows["search"] == (
            0 if day < DAYS[3] else pc.sum(pc.equal(expected["view_type"], "search")).as_py()
        )
        assert manifest.labels["long_click"].nulls == (len(expected) if day < DAYS[4] else 0)
        assert manifest.counts.get("expired_rows", 0) == len(before[day]) - len(expected)
        raw = landed(landing, day)
        assert ("search" in raw["view_type"].to_pylist()) == (day >= DAYS[3])
        assert (raw["long_click"].null_count == len(raw)) == (day < DAYS[4])
        assert raw.schema.equals(raw_rows(day, rows=20).schema)
    parts = {(item.kind, item.day): item for item in outcome.items if item.part}
    assert parts["engagement", DAYS[1]].view_types == ("search",)
    assert parts["engagement", DAYS[1]].rows == len(before[DAYS[1]]) - len(rows_of(lake, DAYS[1]))
    assert (parts["landing", DAYS[3]].view_types, parts["landing", DAYS[3]].labels) == ((), ("long_click",))
    assert ledger.expired_days(lake.store) == DAYS[:1]
    assert audit(lake, AS_OF, PARTS).ok


def test_a_second_run_changes_nothing(lake):
    expire(lake, PARTS)
    before = state(lake)
    assert expire(lake, PARTS).ledger_entry is None
    assert state(lake) == before


def test_a_rewriting_run_killed_at_any_change_ends_in_the_same_state_when_run_again(stores, restore):
    for day in (DAYS[0], DAYS[2], DAYS[5]):
        publish_day(stores, day)
    start = state(stores)
    expire(stores, PARTS)
    expected = state(stores)
    for step in range(100):
        restore(start)
        try:
            expire(InterruptedStore.over(stores, step), PARTS)
            break
        except Interrupted:
            expire(stores, PARTS)
            assert state(stores) == expected, step
    assert 15 < step < 99


def test_readers_refuse_such_a_day_until_it_is_rewritten(lake):
    advance_horizon(lake.store, Horizon(day=DAYS[0], view_types={"search": DAYS[1]}, labels={"click": DAYS[2]}))
    with pytest.raises(
        PartitionExpiredError, match=r"day=2026-03-01: holds search, click behind the retention horizon"
    ):
        open_partition(lake.store, DAYS[0], SCHEMA)
    with pytest.raises(PartitionExpiredError, match=r"day=2026-03-02: holds click behind the retention horizon"):
        open_partition(lake.store, DAYS[1], SCHEMA)
    assert published_days(lake.store) == DAYS[2:]


def test_rows_of_an_expired_view_type_cannot_be_published_again(lake, landing):
    expire(lake, PARTS)
    deliver(landing, raw_rows(DAYS[1], rows=20), day=DAYS[1])
    staged = stage_day(lake.store, landing, SCHEMA, DAYS[1])
    assert staged.view_type_rows["search"] == 0
    assert staged.labels["long_click"].nulls == staged.rows
    publish(lake.store, staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA)
    report = audit(lake, AS_OF)
    assert {(item.kind, item.part) for item in report.readable} == {("landing", True)}
    expire(lake, PARTS)
    assert audit(lake, AS_OF, PARTS).ok


def test_other_copies_with_such_rows_go_and_copies_without_stay(lake, tmp_path):
    dump = tmp_path / "work" / "eval" / "predictions.parquet"
    harmless = tmp_path / "work" / "eval" / "homes.parquet"
    dump.parent.mkdir(parents=True)
    rows = rows_of(lake, DAYS[2])
    pq.write_table(rows, dump)
    home = rows.filter(pc.equal(rows["view_type"], "home"))
    pq.write_table(replaced(home, "long_click", pa.nulls(len(home), pa.int8())), harmless)
    assert [item.kind for item in planned(lake, PARTS).items if item.kind == "work"] == ["work"]
    expire(lake, PARTS)
    assert not dump.exists()
    assert harmless.exists()


@pytest.mark.parametrize(
    ("day", "view_type", "label", "goes"),
    [
        (DAYS[2], "search", None, True),
        (DAYS[2], "home", None, False),
        (DAYS[3], "search", 1, True),
        (DAYS[3], "search", None, False),
        (DAYS[4], "search", 1, False),
    ],
)
def test_a_score_set_goes_when_a_row_or_a_known_label_of_it_must(stores, day, view_type, label, goes):
    table = pa.table(
        {
            "example_id": ["a"], "group_id": [1], "view_type": [view_type], "head": ["long_click"],
            "logit": pa.array([0.5], pa.float32()), "label": pa.array([label], pa.int8()),
        }
    ).replace_schema_metadata({"mmoe.day": str(day)})  # fmt: skip
    with stores.store.writer(scores_key(day, "m" * 8)) as (path, commit):
        pq.write_table(table, path)
        commit()
    expire(stores, PARTS)
    assert bool(stores.store.list("scores/")) != goes


def test_a_score_row_without_a_head_stops_nothing(stores, tmp_path):
    table = pa.table({"example_id": ["a", "b"], "head": [None, "long_click"], "label": pa.array([1, 1], pa.int8())})
    (tmp_path / "work").mkdir()
    for day in (DAYS[2], DAYS[5]):
        metadata = {"mmoe.day": str(day)}
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "work" / f"{day}.parquet")
    expire(stores, PARTS)
    assert [path.name for path in (tmp_path / "work").iterdir()] == [f"{DAYS[5]}.parquet"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv.gz", "rows.jsonl", "rows.ndjson.bz2", "rows.csv.zst"])
def test_raw_text_files_keep_name_format_and_every_other_row(stores, landing, name):
    day = DAYS[2]
    raw = raw_rows(day, rows=50).drop_columns(["topics"])
    raw = replaced(raw, "device", pa.array([f'say "{row}",\nor' if row % 2 else None for row in range(50)]))
    schema = SCHEMA.model_copy(update={"features": SCHEMA.features.model_copy(update={"multivalued": {}})})
    path = landing / f"dt={day}" / name
    path.parent.mkdir(parents=True)
    write_text(raw, path)
    expected = raw.filter(pc.not_equal(raw["view_type"], "search"))
    expire(replace_schema(stores, schema), PARTS)
    left = read_text(path)
    assert left["event_id"] == expected["event_id"].to_pylist()
    assert left["device"] == [value or None for value in expected["device"].to_pylist()]
    assert set(left["long_click"]) == {None}
    assert left["click"] == expected["click"].to_pylist()
    if name == "rows.csv":
        staged = stage_day(stores.store, landing, schema, day)
        assert (staged.problems, staged.rows) == ((), len(expected))


def test_a_landing_file_that_cannot_be_understood_goes_with_the_first_horizon(lake, landing):
    half = (landing / f"dt={DAYS[2]}" / "half.parquet", landing / f"dt={DAYS[5]}" / "half.parquet")
    whole = half[0].with_name("part-0.parquet").read_bytes()
    for path in half:
        path.write_bytes(whole[: len(whole) // 2])
    expire(lake, PARTS)
    assert [path.exists() for path in half] == [False, True]


def test_rows_that_tell_no_view_type_go_with_the_first_unless_a_hold_may_mean_them(stores, landing):
    """Label updates: an id, a time and a label of rows that may be searches."""
    updates = pa.concat_tables([raw_rows(day, rows=20) for day in DAYS[1:5]]).select(["event_id", "event_time", "save"])
    deliver(landing, updates, day=DAYS[5])
    add_hold(stores.store, HELD.model_copy(update={"first": DAYS[1], "last": DAYS[1], "view_type": "search"}))
    expire(stores, PARTS)
    assert {event[:10] for event in landed(landing, DAYS[5])["event_id"].to_pylist()} == {
        str(day) for day in (DAYS[1], DAYS[3], DAYS[4])
    }
    assert audit(stores, AS_OF, PARTS).ok


def test_late_rows_leave_a_landing_folder_that_stays(stores, landing):
    """A row of a day behind the horizon goes, even where it was delivered a day late."""
    late = pa.concat_tables([raw_rows(DAYS[2], rows=20), raw_rows(DAYS[1], rows=5, seed=1)])
    deliver(landing, late, day=DAYS[2])
    outcome = expire(stores, RetentionConfig(days=4, max_share=1.0))
    assert landed(landing, DAYS[2]).num_rows == 20
    assert [(item.kind, item.day, item.part) for item in outcome.items] == [("landing", DAYS[2], True)]


def test_late_rows_are_looked_for_as_far_back_as_the_schema_lets_them_come(tmp_path, store, landing):
    schema = SCHEMA.model_copy(update={"source": Source(late_days=9)})
    stores = registered_stores(Settings(home=tmp_path, dvc_project=tmp_path / "project"), schema, store)
    day = DAYS[1] + timedelta(days=9)
    deliver(landing, pa.concat_tables([raw_rows(day, rows=20), raw_rows(DAYS[1], rows=5, seed=1)]), day=day)
    staged = stage_day(store, landing, schema, day)
    assert staged.counts["refused_rows"] == 0
    publish(store, staged, Validation(status="passed", subject=staged.digest, checks=1), schema)
    expire(stores, RetentionConfig(days=4, max_share=1.0))
    assert landed(landing, day).num_rows == 20
    assert [entry.key for entry in store.list("late/")] == []


@pytest.mark.parametrize("published", ["with it", "before it", "not at all"])
def test_rows_that_came_too_late_for_any_day_expire_in_the_landing_zone_too(stores, landing, published):
    day = DAYS[1] + timedelta(days=20)
    if published == "before it":
        deliver(landing, raw_rows(day, rows=20), "first.parquet", day=day)
    else:
        deliver(landing, pa.concat_tables([raw_rows(day, rows=20), raw_rows(DAYS[1], rows=5, seed=1)]), day=day)
    if published != "not at all":
        staged = stage_day(stores.store, landing, SCHEMA, day)
        assert staged.counts["refused_rows"] == (5 if published == "with it" else 0)
        publish(stores.store, staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA)
    if published == "before it":
        deliver(landing, pa.concat_tables([raw_rows(day, rows=20), raw_rows(DAYS[1], rows=5, seed=1)]), day=day)
    config = RetentionConfig(days=4, max_share=1.0)
    late = [("landing", day, True, 5)]
    assert [(each.kind, each.day, each.part, each.rows) for each in audit(stores, AS_OF, config).overdue] == late
    outcome = expire(stores, config)
    assert [(each.kind, each.day, each.part, each.rows) for each in outcome.items] == late
    assert landed(landing, day).num_rows == 20
    assert audit(stores, AS_OF, config).ok


def test_a_file_that_is_damaged_where_it_would_be_rewritten_stops_nothing_and_goes_with_its_day(stores, landing):
    """In a column that tells neither day nor view type nor label; until its day goes, the audit names it."""
    late = pa.concat_tables([raw_rows(DAYS[0], rows=20), raw_rows(DAYS[5], rows=20)])
    gone, kept = (landing / f"dt={day}" / "odd.parquet" for day in (DAYS[2], DAYS[5]))
    for path, rows in ((gone, raw_rows(DAYS[2], rows=20)), (kept, late)):
        path.parent.mkdir(parents=True)
        pq.write_table(rows, path)
        names = pq.read_schema(path).names
        damage(path, pq.read_metadata(path).row_group(0).column(names.index("device")).dictionary_page_offset)
    assert expire(stores, PARTS).ledger_entry is not None
    assert (gone.exists(), kept.exists()) == (False, True)
    report = audit(stores, AS_OF, PARTS)
    assert report.findings == [
        "landing:dt=2026-03-06/odd.parquet holds rows behind the horizon and is damaged, so that they cannot be taken "
        "out of it: it goes as a whole once 2026-03-06 is behind the horizon; before that, deliver its rows as "
        "Parquet, CSV or JSON lines below their day's dt=YYYY-MM-DD folder, or delete it."
    ]
    expire(stores, PARTS, AS_OF + timedelta(days=3))
    assert not kept.exists()


def test_json_lines_of_any_shape_are_rewritten(stores, landing):
    """Lines without a view type or with half a character, and lists nested too deeply for a parser."""
    folder = landing / f"dt={DAYS[2]}"
    folder.mkdir(parents=True)
    rows = [{**row, "event_time": row["event_time"].isoformat()} for row in raw_rows(DAYS[2], rows=20).to_pylist()]
    lines = [json.dumps(row) for row in rows]
    lines += [json.dumps({"event_id": "a", "event_time": str(DAYS[2]), "device": "\ud800", "\ud800": 1})]
    lines += ['{"event_id": "deep", "x": ' + "[" * 5_000 + "]" * 5_000 + "}"]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    expire(stores, PARTS)
    left = [json.loads(line)["event_id"] for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert left == [row["event_id"] for row in rows if row["view_type"] == "home"]
    assert audit(stores, AS_OF, PARTS).ok


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv.gz"])
def test_text_that_is_no_utf8_is_rewritten_byte_for_byte(stores, landing, name):
    """A broken label says nothing and stays; a row whose view type is broken goes with the earliest."""
    rows = [
        ["event_id", "event_time", "view_type", "device", "long_click"],
        ["s", str(DAYS[2]), "search", "caf\u00e9", "1"],
        ["h", str(DAYS[2]), "home", "caf\u00e9", "1"],
        ["b", str(DAYS[2]), "h\u00f6me", "x", "0"],
        ["l", str(DAYS[2]), "home", "\u00fc", "\u00e9"],
    ]
    separator = "\t" if ".tsv" in name else ","
    path = landing / f"dt={DAYS[2]}" / name
    path.parent.mkdir(parents=True)
    content = "".join(separator.join(row) + "\n" for row in rows).encode("latin-1")
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    expire(stores, PARTS)
    left = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    kept = [[*rows[0]], [*rows[2][:-1], ""], rows[4]]
    assert left.replace(b'"', b"") == "".join(separator.join(row) + "\n" for row in kept).encode("latin-1")
    assert audit(stores, AS_OF, PARTS).ok


@pytest.mark.parametrize("array", [False, True])
def test_json_that_is_no_utf8_keeps_the_bytes_of_rows_that_stay(stores, landing, array):
    rows = [
        {"event_id": "s", "event_time": str(DAYS[2]), "view_type": "search", "device": "\u00e9"},
        {"event_id": "h", "event_time": str(DAYS[2]), "view_type": "home", "device": "\u00fc \u2028"},
        {"event_id": "m", "event_time": str(DAYS[2]), "view_type": "home", "device": "\u00e9", "long_click": 1},
    ]
    lines = [json.dumps(row, ensure_ascii=False).encode("latin-1", "backslashreplace") for row in rows]
    path = landing / f"dt={DAYS[2]}" / "rows.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"[" + b",".join(lines) + b"]" if array else b"\n".join(lines))
    expire(stores, PARTS)
    left = path.read_bytes().strip(b"[]\n").split(b",\n" if array else b"\n")
    assert left[0] == lines[1]
    masked = json.loads(left[1])
    assert (masked["event_id"], masked["long_click"], masked["device"]) == ("m", None, "\udce9")
    assert len(left) == 2
    assert audit(stores, AS_OF, PARTS).ok


@pytest.mark.parametrize("orient", ["columns", "index", "lists"])
def test_a_table_in_one_json_object_is_rewritten_as_it_was(stores, landing, orient):
    rows = raw_rows(DAYS[2], rows=20).select(["event_id", "view_type", "long_click"])
    path = landing / f"dt={DAYS[2]}" / "table.json"
    path.parent.mkdir(parents=True)

    def text(table):
        frame = table.to_pandas().set_index(pd.Index(numbers))
        return json.dumps(table.to_pydict()) if orient == "lists" else frame.to_json(orient=orient)

    numbers = list(range(20))
    path.write_text(text(rows))
    expire(stores, PARTS)
    kept = rows.filter(pc.equal(rows["view_type"], "home"))
    numbers = [number for number, name in enumerate(rows["view_type"].to_pylist()) if name == "home"]
    masked = replaced(kept, "long_click", pa.nulls(len(kept), pa.int8()))
    assert json.loads(path.read_text()) == json.loads(text(masked))
    assert audit(stores, AS_OF, PARTS).ok


def test_a_split_table_is_rewritten_with_its_index(stores, landing):
    rows = raw_rows(DAYS[2], rows=20).select(["event_id", "view_type", "long_click"])
    path = landing / f"dt={DAYS[2]}" / "table.json"
    path.parent.mkdir(parents=True)
    data = [list(row.values()) for row in rows.to_pylist()]
    path.write_text(json.dumps({"columns": rows.column_names, "index": list(range(20)), "data": data}))
    expire(stores, PARTS)
    left = json.loads(path.read_text())
    expected = [number for number, row in enumerate(data) if row[1] == "home"]
    assert left["index"] == expected
    assert left["data"] == [[*data[number][:2], None] for number in expected]
    assert audit(stores, AS_OF, PARTS).ok


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_files_are_rewritten_in_their_own_format(stores, landing, kind):
    rows = raw_rows(DAYS[2], rows=50)
    path = landing / f"dt={DAYS[2]}" / f"rows.{kind}"
    path.parent.mkdir(parents=True)
    with getattr(pa.ipc, f"new_{kind}")(str(path), rows.schema) as writer:
        writer.write_table(rows, max_chunksize=7)
    expire(stores, PARTS)
    left = getattr(pa.ipc, f"open_{kind}")(str(path)).read_all()
    expected = rows.filter(pc.not_equal(rows["view_type"], "search"))
    assert left["event_id"].equals(expected["event_id"])
    assert left["topics"].to_pylist() == expected["topics"].to_pylist()
    assert left["long_click"].null_count == len(expected)
    assert left.schema.names == rows.schema.names
    assert audit(stores, AS_OF, PARTS).ok


@pytest.mark.parametrize("lake_url", EVERY_STORE, indirect=True)
def test_rows_that_wait_for_their_day_are_rewritten_under_their_new_digest(any_store, lake_url, tmp_path):
    """And no version of the old ones stays."""
    settings = Settings(home=tmp_path, lake=lake_url, dvc_project=tmp_path / "project")
    stores = registered_stores(settings, SCHEMA, any_store)
    rows = raw_rows(DAYS[2], rows=20)
    pq.write_table(rows, tmp_path / "rows.parquet")
    folder = f"late/dt={DAYS[2]}/from={DAYS[3]}/"
    stores.store.put_file(tmp_path / "rows.parquet", f"{folder}rows-01234567.parquet")
    (tmp_path / "rows.parquet").unlink()
    expire(stores, PARTS)
    ((key, path),) = [(entry.key, stores.store.local_path(entry.key)) for entry in stores.store.list("late/")]
    assert key == f"{folder}rows-{file_digest(path)[:8]}.parquet"
    assert [copy.kind for copy in stores.store.copies("late/")] == ["object"]
    assert pq.read_table(path)["event_id"].equals(rows.filter(pc.not_equal(rows["view_type"], "search"))["event_id"])
    assert audit(stores, AS_OF, PARTS).ok


def test_a_held_day_is_not_rewritten_and_not_readable_until_the_hold_ends(lake):
    held = add_hold(lake.store, HELD)
    before = {path: path.read_bytes() for path in copies_of(lake, DAYS[2])}
    expire(lake, PARTS)
    assert {path: path.read_bytes() for path in copies_of(lake, DAYS[2])} == before
    assert DAYS[2] not in published_days(lake.store)
    assert audit(lake, AS_OF, PARTS).ok
    end_hold(lake.store, held.id, "bob")
    expire(lake, PARTS)
    assert DAYS[2] in published_days(lake.store)


def test_a_hold_on_a_view_type_keeps_its_rows_alone_when_the_day_expires(lake, landing):
    add_hold(lake.store, HELD.model_copy(update={"first": DAYS[0], "last": DAYS[0], "view_type": "search"}))
    searches = pc.sum(pc.equal(rows_of(lake, DAYS[0])["view_type"], "search")).as_py()
    expire(lake, PARTS)
    manifest = lake.store.read_bytes(manifest_key(DAYS[0]))
    assert json.loads(manifest)["view_type_rows"] == {"home": 0, "search": searches}
    assert set(landed(landing, DAYS[0])["view_type"].to_pylist()) == {"search"}
    kinds = {path.parts[path.parts.index("lake") + 1] for path in copies_of(lake, DAYS[0]) if "lake" in path.parts}
    assert kinds == {"engagement"}
    assert audit(lake, AS_OF, PARTS).ok
    with pytest.raises(PartitionExpiredError):
        open_partition(lake.store, DAYS[0], SCHEMA)


def test_a_damaged_partition_is_named_and_the_others_are_rewritten(lake):
    (part,) = [entry.key for entry in lake.store.list(partition_prefix(DAYS[2])) if entry.key.endswith(".parquet")]
    path = lake.store.local_path(part)
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes(4) + content[204:])
    with pytest.raises(LakeError, match=r"dt=2026-03-03/part.* not those of its manifest.*run retention again"):
        expire(lake, PARTS)
    assert DAYS[1] in published_days(lake.store)
    path.write_bytes(content)
    expire(lake, PARTS)
    assert audit(lake, AS_OF, PARTS).ok


def write_text(table, path):
    rows = table.set_column(1, "event_time", table["event_time"].cast(pa.string()))
    if path.name.startswith("rows.csv") or path.name.startswith("rows.tsv"):
        options = pyarrow.csv.WriteOptions(delimiter="\t" if ".tsv" in path.name else ",")
        with pa.output_stream(path, compression="detect") as sink:
            pyarrow.csv.write_csv(rows, sink, options)
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows.to_pylist()).encode()
        path.write_bytes(bz2.compress(lines) if path.suffix == ".bz2" else lines)


def read_text(path):
    content = path.read_bytes()
    for suffix, open_it in ((".gz", gzip.decompress), (".bz2", bz2.decompress), (".zst", pa.Codec("zstd").decompress)):
        if path.suffix == suffix:
            content = pa.input_stream(path).read() if suffix == ".zst" else open_it(content)
    if "json" in path.name:
        rows = [json.loads(line) for line in content.splitlines()]
        return {name: [row[name] for row in rows] for name in rows[0]}
    parse = pyarrow.csv.ParseOptions(delimiter="\t" if ".tsv" in path.name else ",", newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(strings_can_be_null=True)
    return pyarrow.csv.read_csv(pa.py_buffer(content), parse_options=parse, convert_options=convert).to_pydict()


def replace_schema(stores, schema):
    from dataclasses import replace

    for holder in stores.holders:
        holder._schema = schema
    return replace(stores, schema=schema)


@pytest.mark.parametrize("step", [5, 13])
def test_a_process_killed_by_the_kernel_leaves_what_the_next_run_finishes(stores, tmp_path, step):
    """Unlike an exception, SIGKILL runs no cleanup: whatever lies aside must be found and removed too."""
    for day in (DAYS[0], DAYS[2], DAYS[5]):
        publish_day(stores, day)
    shutil.copytree(tmp_path, undisturbed := tmp_path.parent / f"{tmp_path.name}-undisturbed")
    expire(stores_at(undisturbed), PARTS)
    script = f"""
import os, signal
from datetime import timedelta
from pathlib import Path
from interrupted import InterruptedStore
from test_lake_rewrite import PARTS, expire, stores_at
def count(self):
    self.changes -= 1
    if self.changes < 0:
        os.kill(os.getpid(), signal.SIGKILL)
InterruptedStore.count = count
expire(InterruptedStore.over(stores_at(Path({str(tmp_path)!r})), {step}), PARTS)
"""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": path})
    assert killed.returncode == -9
    expire(stores, PARTS)
    assert state(stores) == state(stores_at(undisturbed))
    assert audit(stores, AS_OF, PARTS).ok


def stores_at(home):
    settings = Settings(home=home, dvc_project=home / "project")
    return registered_stores(settings, SCHEMA, open_store(settings.lake_url))
