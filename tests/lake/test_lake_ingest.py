import gzip
import json
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from handmade import DAY, SCHEMA, deliver, raw_rows, replaced, staged_table

from mmoe.errors import PartitionExpiredError, PartitionMissingError
from mmoe.lake.horizon import Horizon, advance_horizon
from mmoe.lake.ingest import stage_day
from mmoe.lake.staging import load_staged
from mmoe.schema import Schema

FINAL = DAY + timedelta(days=2)
"""At its start every label of DAY is final."""


def staged_rows(store, staged):
    return staged_table(store, staged).to_pylist()


def test_a_clean_day_is_staged_in_canonical_columns_and_order(store, landing):
    raw = raw_rows()
    deliver(landing, raw)
    staged = stage_day(store, landing, SCHEMA, DAY)
    table = staged_table(store, staged)
    assert [str(field.type) for field in table.schema] == [
        *("string", "timestamp[us, tz=UTC]", "string", "int64"),
        *("int64", "int64", "string", "float", "list<element: int64>", "int8", "int8", "int8"),
    ]
    expected = sorted(raw.to_pylist(), key=lambda row: (row["event_time"], row["event_id"]))
    for row, source in zip(table.to_pylist(), expected, strict=True):
        assert row.pop("group_id") == source["user_id"]
        source.pop("unused")
        assert row.pop("save") is None and source.pop("save") in (0, 1)  # final a day later
        assert row.pop("price") == (None if source["price"] is None else np.float32(source.pop("price")))
        source.pop("price", None)
        assert row == source
    assert staged.problems == ()
    assert staged.counts["rows_read"] == staged.rows == 200
    assert staged.nulls["price"] == 67
    assert staged.labels["click"].positives == sum(raw["click"].to_pylist())
    assert sum(staged.view_type_rows.values()) == 200


def test_staging_twice_is_staging_once(store, landing):
    deliver(landing, raw_rows())
    first = stage_day(store, landing, SCHEMA, DAY)
    keys = [entry.key for entry in store.list("")]
    second = stage_day(store, landing, SCHEMA, DAY)
    assert (first, first.digest) == (second, second.digest)
    assert load_staged(store, DAY) == second
    assert [entry.key for entry in store.list("")] == keys


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "jsonl", "jsonl.gz"])
def test_text_formats_stage_the_same_rows_as_parquet(store, landing, form):
    content = SCHEMA.model_dump(mode="json")
    content["features"]["multivalued"]["topics"]["separator"] = "|"
    schema = Schema.model_validate(content)
    raw = raw_rows(rows=50)
    topics = ["" if values is None else "|".join(map(str, values)) for values in raw["topics"].to_pylist()]
    raw = replaced(replaced(raw, "topics", [topics]), "price", raw["price"].cast(pa.float32()))
    deliver(landing, raw)
    reference = staged_rows(store, stage_day(store, landing, schema, DAY))
    deliver(landing, raw).unlink()
    path = landing / f"dt={DAY}" / f"part-0.{form}"
    if "csv" in form or "tsv" in form:
        options = pyarrow.csv.WriteOptions(delimiter="\t" if form == "tsv" else ",")
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(raw, sink, options)
        text = sink.getvalue().to_pybytes()
    else:
        text = "\n".join(json.dumps(row, default=lambda time: time.isoformat()) for row in raw.to_pylist()).encode()
    path.write_bytes(gzip.compress(text) if form.endswith("gz") else text)
    staged = stage_day(store, landing, schema, DAY)
    assert staged.problems == ()
    assert staged_rows(store, staged) == reference


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("part-1.parquet", b"", "the file is empty (0 bytes)"),
        ("part-1.csv", b"", "the file is empty (0 bytes)"),
        ("part-1.parquet", b"PAR1 and then nothing", "not readable as PARQUET"),
        ("part-1.csv.gz", gzip.compress(b"event_id\nx\n", mtime=0)[:12], "not readable as CSV in gzip"),
        ("part-1.jsonl", b'{"event_id": "secret"', "not readable as JSONL"),
        ("part-1.csv", b"event_id,a\nsecret\nx,y,z\n", "not readable as CSV"),
        ("part-1.csv", b"event_id,click,click\nsecret,1,1\n", "columns that occur more than once: click"),
        ("part-1.csv", b"event_id,device\nsecret,1\n", "another schema: columns missing: event_time, view_type"),
        ("part-1.xlsx", b"secret", "unknown kind of file"),
    ],
)
def test_an_unusable_file_is_a_problem_that_names_it_and_quotes_nothing(store, landing, name, content, reason):
    deliver(landing, raw_rows())
    (landing / f"dt={DAY}" / name).write_bytes(content)
    staged = stage_day(store, landing, SCHEMA, DAY)
    assert [problem.file for problem in staged.problems] == [name]
    assert reason in staged.problems[0].what
    assert "secret" not in str(staged.problems[0])
    assert staged.rows == 200


def test_text_that_is_no_utf8_is_a_problem(store, landing):
    raw = raw_rows(rows=1)
    binary = pa.array([b"\xff\xfe"]).view(pa.string())
    deliver(landing, replaced(raw, "device", binary))
    assert "damaged" in stage_day(store, landing, SCHEMA, DAY).problems[0].what


@pytest.mark.parametrize("keep", [4, 100, 0.5, 0.99])
def test_a_parquet_file_truncated_anywhere_is_a_problem(store, landing, keep):
    path = deliver(landing, raw_rows())
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    staged = stage_day(store, landing, SCHEMA, DAY)
    assert staged.rows == 0
    assert "truncated" in staged.problems[0].what


def test_values_that_do_not_fit_are_problems_with_counts(store, landing):
    raw = raw_rows()
    times = ["not a time", *(time.isoformat() for time in raw["event_time"].to_pylist()[1:])]
    prices = [float("inf"), float("nan"), *raw["price"].to_pylist()[2:]]
    clicks = [0.5, *(float(click) for click in raw["click"].to_pylist()[1:])]
    for name, values in {"event_time": times, "price": prices, "click": clicks}.items():
        raw = replaced(raw, name, [values])
    deliver(landing, raw)
    problems = {problem.column: problem for problem in stage_day(store, landing, SCHEMA, DAY).problems}
    assert {column: problem.rows for column, problem in problems.items()} == {"event_time": 1, "price": 2, "click": 1}
    assert "finite" in problems["price"].what
    assert not any("not a time" in str(problem) for problem in problems.values())


def test_a_repeated_file_is_only_counted(store, landing):
    deliver(landing, raw_rows())
    alone = stage_day(store, landing, SCHEMA, DAY)
    deliver(landing, raw_rows(), "part-0-again.parquet")
    repeated = stage_day(store, landing, SCHEMA, DAY)
    assert repeated.files == alone.files
    assert repeated.problems == ()
    assert repeated.counts["repeated_files"] == 1
    assert repeated.counts["duplicates"] == 200
    assert repeated.counts["rows_read"] == 400


def test_a_repeat_in_another_encoding_is_counted_row_by_row(store, landing):
    deliver(landing, raw_rows())
    pq.write_table(raw_rows().sort_by("event_id"), landing / f"dt={DAY}" / "again.parquet", compression="gzip")
    staged = stage_day(store, landing, SCHEMA, DAY)
    assert (staged.rows, staged.counts["duplicates"], staged.counts["repeated_files"]) == (200, 200, 0)


def test_a_later_file_fills_labels_that_were_not_final(store, landing):
    raw = raw_rows()
    deliver(landing, replaced(raw, "save", [pa.nulls(200, pa.int8())]), "a.parquet")
    deliver(landing, raw, "b.parquet")
    staged = stage_day(store, landing, SCHEMA, DAY, as_of=FINAL)
    assert staged.labels["save"].nulls == 0
    assert staged.labels["save"].positives == sum(raw["save"].to_pylist())
    assert staged.counts["label_fills"] == 200
    assert staged.counts["conflicts"] == staged.counts["duplicates"] == 0


def test_markers_and_unfinished_writes_are_not_read(store, landing):
    path = deliver(landing, raw_rows())
    (path.parent / "_SUCCESS").touch()
    (path.parent / ".part-1.parquet.tmp").write_bytes(b"half")
    assert stage_day(store, landing, SCHEMA, DAY).problems == ()


def test_a_day_without_files_says_what_to_do(store, landing):
    with pytest.raises(PartitionMissingError, match=r"No landing files for 2026-03-10 under .*reprocess=failed"):
        stage_day(store, landing, SCHEMA, DAY)


def test_a_day_behind_the_horizon_is_refused(store, landing):
    deliver(landing, raw_rows())
    advance_horizon(store, Horizon(day=DAY + timedelta(days=1)))
    with pytest.raises(PartitionExpiredError):
        stage_day(store, landing, SCHEMA, DAY)


def test_days_start_at_the_schemas_hour(store, landing):
    content = SCHEMA.model_dump(mode="json")
    content["event_time"]["day_starts_utc"] = 8
    schema = Schema.model_validate(content)
    raw = raw_rows(rows=100)
    shifted = replaced(raw, "event_time", pa.compute.subtract(raw["event_time"], pa.scalar(timedelta(hours=8))))
    deliver(landing, shifted)
    assert stage_day(store, landing, schema, DAY).counts["off_day_rows"] == 0
    assert stage_day(store, landing, SCHEMA, DAY).counts["off_day_rows"] > 0


def with_side_table():
    content = SCHEMA.model_dump(mode="json")
    content["source"]["tables"] = [{"file": "ads.csv", "key": "ad_id", "columns": ["device"]}]
    return Schema.model_validate(content)


def test_a_side_table_is_joined_by_key_and_unmatched_rows_are_null(store, landing):
    deliver(landing, raw_rows().drop_columns(["device"]))
    (landing / "_tables").mkdir()
    (landing / "_tables" / "ads.csv").write_text("ad_id,device,other\n3,watch,1\n4,car,2\n")
    rows = staged_rows(store, stage_day(store, landing, with_side_table(), DAY))
    assert all(row["device"] == {3: "watch", 4: "car"}.get(row["ad_id"]) for row in rows)


def test_a_broken_side_table_is_a_problem_and_an_absent_one_is_waited_for(store, landing):
    deliver(landing, raw_rows().drop_columns(["device"]))
    with pytest.raises(PartitionMissingError, match=r"ads\.csv: the side table is not there"):
        stage_day(store, landing, with_side_table(), DAY)
    (landing / "_tables").mkdir()
    for text, reason in [
        ("ad_id,device\n3,a\n3,b\n", "1 rows repeat a key"),
        ("ad_id\n3\n", "columns missing: device"),
    ]:
        (landing / "_tables" / "ads.csv").write_text(text)
        problems = stage_day(store, landing, with_side_table(), DAY).problems
        assert reason in str(problems[0])


def test_several_identity_columns_become_one_id(store, landing):
    content = SCHEMA.model_dump(mode="json")
    content["event_id"] = ["user_id", "ad_id", "event_time"]
    raw = raw_rows()
    users = [None, *raw["user_id"].to_pylist()[1:]]
    deliver(landing, replaced(raw, "user_id", [users]))
    ids = [
        row["event_id"] for row in staged_rows(store, stage_day(store, landing, Schema.model_validate(content), DAY))
    ]
    assert ids.count(None) == 1
    assert len(set(ids)) == 200
    assert {len(name) for name in ids if name} == {32}


def test_unlisted_view_types_are_gathered_when_the_schema_names_a_place(store, landing):
    content = SCHEMA.model_dump(mode="json")
    content["view_type"] = {"values": ["home"], "other": "rest"}
    deliver(landing, raw_rows())
    staged = stage_day(store, landing, Schema.model_validate(content), DAY)
    assert staged.view_type_rows.keys() == {"home", "rest"}
    assert (
        "(unlisted)"
        in stage_day(
            store, landing, Schema.model_validate(content | {"view_type": {"values": ["x"]}}), DAY
        ).view_type_rows
    )


def test_a_group_column_that_is_no_feature_keeps_its_kind(store, landing):
    content = SCHEMA.model_dump(mode="json") | {"group_id": "unused"}
    schema = Schema.model_validate(content)
    deliver(landing, replaced(raw_rows(), "unused", [list(range(200))]), day=date(2026, 3, 9))
    deliver(landing, replaced(raw_rows(), "unused", [[f"q{row}" for row in range(200)]]))
    for day, kind in [(date(2026, 3, 9), pa.int64()), (DAY, pa.string())]:
        assert staged_table(store, stage_day(store, landing, schema, day)).schema.field("group_id").type == kind
