"""Columns and types of raw files, as their format tells them."""

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from handmade import DAY, SCHEMA, deliver, raw_rows

from mmoe.lake.files import read_blocks
from mmoe.lake.ingest import stage_day
from mmoe.lake.landing import deliver as land
from mmoe.lake.manifest import Validation
from mmoe.lake.publish import publish
from mmoe.lake.reader import read_manifest
from mmoe.schema import Schema


def columns_of(path, wanted=("a",)):
    found = {}
    for _ in read_blocks(path, set(wanted), found):
        pass
    return found


def test_parquet_tells_types_whatever_their_encoding_and_no_more_than_nulls_do(tmp_path):
    text = pa.array(["x", None])
    table = pa.table(
        {
            "a": text.dictionary_encode(),
            "b": text.cast(pa.large_string()),
            "c": pa.array([[1], []], pa.large_list(pa.int32())),
            "d": pa.nulls(2),
            "e": pa.array([1, 2], pa.timestamp("us", tz="UTC")),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    assert columns_of(tmp_path / "x.parquet") == {
        "a": {"string"}, "b": {"string"}, "c": {"list<int32>"}, "d": set(), "e": {"timestamp[us, tz=UTC]"},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_csv_tells_names_only(tmp_path, name):
    with pa.output_stream(tmp_path / name) as sink:
        sink.write(b"a,b\n1,2\n")
    assert columns_of(tmp_path / name) == {"a": set(), "b": set()}


def test_json_lines_tell_jsons_types_of_all_their_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("mmoe.lake.files.BLOCK_BYTES", 80)
    rows = [{"a": 1, "b": None, "c": "2026-03-01 10:00:00", "d": True, "e": [1]}, {"a": 2.5}, {"f": {"g": 1}, "a": "x"}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert columns_of(tmp_path / "x.jsonl") == {
        "a": {"number", "string"}, "b": set(), "c": {"string"}, "d": {"boolean"}, "e": {"array"}, "f": {"object"},
    }  # fmt: skip


def test_a_manifest_has_every_column_of_the_accepted_files_by_what_they_bring(store, landing):
    rows = raw_rows()
    deliver(landing, rows)
    deliver(landing, raw_rows(seed=1).append_column("coupon", pa.nulls(200, pa.string())), "part-1.parquet")
    deliver(landing, rows.select(["event_id", "save"]), "saves.parquet")
    staged = stage_day(store, landing, SCHEMA, DAY, as_of=DAY + timedelta(days=2))
    publish(store, staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA)
    columns = read_manifest(store, DAY).source_columns
    assert columns == staged.source_columns
    assert set(columns) == {"rows", "label updates"}
    assert set(columns["rows"]) == {*rows.column_names, "coupon"}
    assert (columns["rows"]["price"], columns["rows"]["topics"]) == (("double",), ("list<int64>",))
    assert columns["label updates"] == {"event_id": ("string",), "save": ("int8",)}


@pytest.mark.parametrize("name", ["log.parquet", "log.csv", "log.jsonl"])
def test_files_that_are_split_by_day_leave_every_column_that_they_came_with(store, landing, tmp_path, name):
    rows = raw_rows().drop_columns("topics").append_column("coupon", pa.array(["x"] * 200))
    rows = rows.set_column(1, "event_time", rows["event_time"].cast(pa.string()))
    (tmp_path / "data").mkdir()
    if name == "log.parquet":
        pq.write_table(rows, tmp_path / "data" / name)
    elif name == "log.csv":
        pyarrow.csv.write_csv(rows, tmp_path / "data" / name)
    else:
        (tmp_path / "data" / name).write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))
    content = SCHEMA.model_dump(mode="json") | {"source": {"files": "log.*"}}
    content["features"]["multivalued"] = {}
    schema = Schema.model_validate(content)
    land(tmp_path / "data", schema, landing)
    (landed,) = (landing / f"dt={DAY}").iterdir()
    assert "coupon" not in pq.read_schema(landed).names
    staged = stage_day(store, landing, schema, DAY)
    assert staged.problems == ()
    told = {"log.parquet": ("string",), "log.csv": (), "log.jsonl": ("string",)}[name]
    assert staged.source_columns["rows"]["coupon"] == told
    assert set(staged.source_columns["rows"]) == set(rows.column_names)


def test_a_rejected_file_leaves_no_column(store, landing):
    deliver(landing, raw_rows())
    deliver(landing, pa.table({"a value": ["x"]}), "no-header.parquet")
    staged = stage_day(store, landing, SCHEMA, DAY)
    assert set(staged.source_columns["rows"]) == set(raw_rows().column_names)
    assert len(staged.problems) == 1
