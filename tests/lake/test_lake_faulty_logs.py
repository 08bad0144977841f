"""What real logs get wrong. All is either read as it was meant or reported; nothing is guessed, nothing is lost."""

import bz2
import gzip
import json
import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from handmade import DAY, SCHEMA, deliver, raw_rows, replaced, staged_table

from mmoe.lake import files
from mmoe.lake.ingest import stage_day
from mmoe.lake.staging import load_staged
from mmoe.schema import Schema

FINAL = DAY + timedelta(days=2)
COMPRESSIONS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


@pytest.fixture
def schema():
    """The handmade schema with topics as text."""
    content = SCHEMA.model_dump(mode="json")
    content["features"]["multivalued"]["topics"]["separator"] = "|"
    return Schema.model_validate(content)


def simple_rows(rows=40):
    """Rows that survive any text format: whole prices, topics as text."""
    raw = raw_rows(rows=rows).drop_columns(["unused"])
    topics = ["" if values is None else "|".join(map(str, values)) for values in raw["topics"].to_pylist()]
    raw = replaced(raw, "topics", [topics])
    return replaced(raw, "price", [[float(number) for number in range(rows)]])


def as_csv(raw, delimiter=","):
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(raw, sink, pyarrow.csv.WriteOptions(delimiter=delimiter))
    return sink.getvalue().to_pybytes()


def as_json(rows):
    return "\n".join(json.dumps(row, default=lambda time: time.isoformat()) for row in rows).encode()


def write(landing, name, content):
    path = landing / f"dt={DAY}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def stage(store, landing, schema=SCHEMA):
    return stage_day(store, landing, schema, DAY, as_of=FINAL)


def rows_of(store, landing, schema=SCHEMA):
    staged = stage(store, landing, schema)
    assert staged.problems == ()
    return staged_table(store, staged).to_pylist()


def problems_of(store, landing, schema=SCHEMA):
    return {problem.column: problem.rows for problem in stage(store, landing, schema).problems}


@pytest.fixture
def reference(store, landing, schema):
    path = deliver(landing, simple_rows())
    rows = rows_of(store, landing, schema)
    path.unlink()
    return rows


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_compressed_text_is_read_in_blocks_to_the_same_rows(
    store, landing, schema, reference, form, suffix, monkeypatch
):
    monkeypatch.setattr(files, "BLOCK_BYTES", 1_000)
    raw = simple_rows()
    content = as_json(raw.to_pylist()) if form == "jsonl" else as_csv(raw, "\t" if form == "tsv" else ",")
    write(landing, f"part-0.{form}{suffix}", COMPRESSIONS[suffix](content))
    assert rows_of(store, landing, schema) == reference


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_compressed_file_cut_short_is_a_problem_and_leaves_no_row(store, landing, schema, form, suffix):
    raw = simple_rows()
    content = COMPRESSIONS[suffix](as_json(raw.to_pylist()) if form == "jsonl" else as_csv(raw))
    write(landing, f"part-0.{form}{suffix}", content[: len(content) // 2])
    staged = stage(store, landing, schema)
    assert [problem.file for problem in staged.problems] == [f"part-0.{form}{suffix}"]
    assert (staged.rows, staged.counts["rows_read"]) == (0, 0)


def test_a_file_that_breaks_off_in_a_later_block_leaves_no_row_of_its_earlier_ones(store, landing, schema, monkeypatch):
    monkeypatch.setattr(files, "BLOCK_BYTES", 1_000)
    deliver(landing, simple_rows(5))
    lines = as_json(replaced(simple_rows(), "event_id", [[f"b{row}" for row in range(40)]]).to_pylist())
    write(landing, "part-1.jsonl", lines + b'\n{"event_id": "cut sho')
    staged = stage(store, landing, schema)
    assert (staged.rows, staged.counts["rows_read"], len(staged.problems)) == (5, 5, 1)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_byte_order_mark_belongs_to_no_column(store, landing, schema, reference, form):
    raw = simple_rows()
    content = as_json(raw.to_pylist()) if form == "jsonl" else as_csv(raw)
    write(landing, f"part-0.{form}", b"\xef\xbb\xbf" + content)
    assert rows_of(store, landing, schema) == reference


def test_a_quoted_newline_and_a_quoted_delimiter_stay_inside_their_value(store, landing, schema):
    devices = ["a\nb", 'c,"d"', *["phone"] * 38]
    write(landing, "part-0.csv", as_csv(replaced(simple_rows(), "device", [devices])))
    assert sorted(row["device"] for row in rows_of(store, landing, schema)) == sorted(devices)


def test_a_file_with_another_delimiter_is_a_problem(store, landing, schema):
    write(landing, "part-0.csv", as_csv(simple_rows(), ";"))
    (problem,) = stage(store, landing, schema).problems
    assert problem.what.startswith("another schema: columns missing: event_id")


def test_json_whose_types_change_between_lines_or_blocks_means_the_same(store, landing, schema, reference, monkeypatch):
    rows = simple_rows().to_pylist()
    for number, row in enumerate(rows):
        if number % 3 == 1:
            row |= {"ad_id": str(row["ad_id"]), "click": bool(row["click"]), "user_id": str(row["user_id"])}
        if number % 3 == 2:
            row["click"] = str(row["click"])
    for block_bytes in (1_000, 1 << 20):
        monkeypatch.setattr(files, "BLOCK_BYTES", block_bytes)
        write(landing, "part-0.jsonl", as_json(rows))
        assert rows_of(store, landing, schema) == reference


def test_json_may_leave_out_what_is_missing_but_not_a_whole_column(store, landing, schema, monkeypatch):
    monkeypatch.setattr(files, "BLOCK_BYTES", 1_000)
    rows = simple_rows().to_pylist()
    for row in rows[1:]:
        del row["price"]
    write(landing, "part-0.jsonl", as_json(rows))
    assert [row["price"] for row in rows_of(store, landing, schema)].count(None) == 39
    del rows[0]["price"]
    write(landing, "part-0.jsonl", as_json(rows))
    assert "columns missing: price" in stage(store, landing, schema).problems[0].what


def test_text_that_looks_like_a_date_stays_text(store, landing, schema):
    rows = simple_rows(2).to_pylist()
    for row, device in zip(rows, ["2026-01-01", "2026-01-02"], strict=True):
        row["device"] = device
    write(landing, "part-0.jsonl", as_json(rows))
    assert sorted(row["device"] for row in rows_of(store, landing, schema)) == ["2026-01-01", "2026-01-02"]


@pytest.mark.parametrize(
    "content", [b'[{"event_id": "x"}]', b'{"event_id": "x", "event_id": "y"}', b'"x"', b"{}\n\xff\xfe"]
)
def test_json_of_another_shape_is_a_problem(store, landing, schema, content):
    write(landing, "part-0.jsonl", content)
    assert len(stage(store, landing, schema).problems) == 1


def test_ids_beyond_what_a_float_holds_are_exact_as_numbers_and_text_and_broken_as_floats(store, landing, schema):
    exact = [2**53 + 1, 2**62 + 1]
    for name, ids in [("a.csv", exact), ("b.jsonl", exact)]:
        raw = replaced(simple_rows(2), "user_id", [ids])
        write(landing, name, as_csv(raw) if name == "a.csv" else as_json(raw.to_pylist()))
        assert sorted(row["user_id"] for row in rows_of(store, landing, schema)) == exact
        (landing / f"dt={DAY}" / name).unlink()
    deliver(landing, replaced(simple_rows(2), "user_id", pa.array([2.0**53, 2.0**53 - 1])))
    assert problems_of(store, landing, schema) == {"user_id": 1, "group_id": 1}
    deliver(
        landing,
        replaced(simple_rows(2), "user_id", pa.array([16777217, 16777215], pa.int32()).cast(pa.float32(), safe=False)),
    )
    assert problems_of(store, landing, schema) == {"user_id": 1, "group_id": 1}


def test_an_id_that_json_would_round_is_broken_and_not_another_id(store, landing, schema):
    rows = simple_rows(2).to_pylist()
    text = as_json(rows).replace(b'"ad_id": %d' % rows[0]["ad_id"], b'"ad_id": 9007199254740993')
    write(landing, "part-0.jsonl", text.replace(b'"ad_id": %d' % rows[1]["ad_id"], b'"ad_id": 7.0') + b"\n")
    assert problems_of(store, landing, schema) == {"ad_id": 1}


def test_labels_that_are_nan_are_missing_and_negative_ones_are_left_to_validation(store, landing):
    raw = replaced(raw_rows(rows=3), "click", pa.array([float("nan"), -1.0, 1.0]))
    deliver(landing, raw)
    staged = stage(store, landing)
    assert staged.problems == ()
    assert (staged.labels["click"].nulls, sorted(staged_table(store, staged)["click"].drop_null().to_pylist())) == (
        1,
        [-1, 1],
    )


def test_parquet_types_of_other_writers_mean_the_same(store, landing):
    raw = raw_rows().drop_columns(["unused"])
    deliver(landing, raw, "part-0.parquet")
    reference = rows_of(store, landing)
    large = raw.cast(
        pa.schema([(field.name, _larger(field.type)) for field in raw.schema])
    )  # fmt: skip
    for name in ("device", "view_type"):
        large = replaced(large, name, large[name].dictionary_encode())
    deliver(landing, large, "part-0.parquet")
    assert rows_of(store, landing) == reference
    path = landing / f"dt={DAY}" / "part-0.parquet"
    pq.write_table(raw, path, use_deprecated_int96_timestamps=True, row_group_size=7)
    assert rows_of(store, landing) == reference


def _larger(kind):
    if pa.types.is_string(kind):
        return pa.large_string()
    return pa.large_list(pa.int32()) if pa.types.is_list(kind) else kind


def deliver_json(landing, rows):
    path = landing / f"dt={DAY}" / "part-0.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, default=lambda time: time.isoformat()) + "\n" for row in rows))


def test_an_object_or_a_list_where_json_should_have_text_or_a_number_is_broken_and_never_becomes_text(store, landing):
    rows = raw_rows(rows=9).to_pylist()
    rows[0] |= {"device": {"kind": "phone"}, "ad_id": [7], "price": {}, "click": [1]}
    rows[1] |= {"device": ["phone"], "ad_id": "7"}
    rows[2] |= {"device": 5.0, "view_type": {"is": "home"}}
    rows[3] |= {"device": True, "event_id": ["x"], "event_time": {"s": 1}}
    deliver_json(landing, rows)
    assert problems_of(store, landing) == {
        "device": 2, "ad_id": 1, "price": 1, "click": 1, "view_type": 1, "event_id": 1, "event_time": 1,
    }  # fmt: skip
    staged = {row["event_id"]: row for row in staged_table(store, stage(store, landing)).to_pylist()}
    kept = [staged[rows[number]["event_id"]]["device"] for number in (0, 1, 2)]
    assert kept == [None, None, "5"]
    assert staged[None]["device"] == "true"


def test_a_list_of_several_types_is_read_element_by_element_and_what_is_no_list_is_broken(store, landing):
    rows = raw_rows(rows=9).to_pylist()
    rows[1]["topics"], rows[2]["topics"], rows[3]["topics"], rows[4]["topics"] = (
        ["1", 2, None],
        [[3], 4.0],
        "5",
        {"a": 1},
    )
    deliver_json(landing, rows)
    assert problems_of(store, landing) == {"topics": 3}
    rows_staged = staged_table(store, stage(store, landing)).to_pylist()
    staged = {row["event_id"]: row["topics"] for row in rows_staged}
    assert [staged[rows[number]["event_id"]] for number in (1, 2, 6)] == [[1, 2], [4], rows[6]["topics"]]


def test_a_nested_column_is_broken_row_by_row(store, landing):
    deliver(landing, replaced(raw_rows(rows=3), "ad_id", [[{"id": 1}, None, {"id": 3}]]))
    assert problems_of(store, landing) == {"ad_id": 2}


def test_a_parquet_file_without_rows_is_counted_and_one_with_a_column_twice_is_a_problem(store, landing):
    raw = raw_rows()
    deliver(landing, raw)
    deliver(landing, raw.slice(0, 0), "empty.parquet")
    assert stage(store, landing).counts["empty_files"] == 1
    deliver(landing, raw.append_column("click", raw["click"]), "twice.parquet")
    assert stage(store, landing).problems[0].what == "columns that occur more than once: click"


def test_a_parquet_page_whose_checksum_is_wrong_is_a_problem(store, landing):
    path = landing / f"dt={DAY}" / "part-0.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(raw_rows(), path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[content.index(b"phone", content.index(b"phone") + 100)] ^= 1  # the first ones are a page's statistics
    path.write_bytes(content)
    staged = stage(store, landing)
    assert (staged.rows, "damaged" in staged.problems[0].what) == (0, True)


def test_times_of_mixed_zones_and_of_a_dst_night_are_the_same_moments_in_utc(store, landing):
    moments = [datetime(2026, 3, 10, hour, 30, tzinfo=UTC) for hour in (0, 5, 23)]
    texts = ["2026-03-09T16:30:00-08:00", "2026-03-10T07:30:00+02:00", "2026-03-10 23:30:00Z"]
    deliver(landing, replaced(raw_rows(rows=3), "event_time", [texts]))
    assert [row["event_time"] for row in rows_of(store, landing)] == moments
    night = datetime(2026, 3, 29, tzinfo=UTC)  # Berlin's clocks jump from 2 to 3
    zoned = pa.array([night + timedelta(hours=hour) for hour in range(24)], pa.timestamp("us", tz="Europe/Berlin"))
    deliver(landing, replaced(raw_rows(rows=24), "event_time", zoned), day=night.date())
    staged = stage_day(store, landing, SCHEMA, night.date())
    assert (staged.rows, staged.counts["off_day_rows"]) == (24, 0)


def test_files_in_subfolders_are_read(store, landing):
    write(landing, "hour=00/part-0.parquet", b"")
    deliver(landing, raw_rows(rows=20), "hour=00/part-0.parquet")
    deliver(landing, raw_rows(rows=30, seed=1), "hour=01/part-0.parquet")
    staged = stage(store, landing)
    assert (staged.rows, [source.name for source in staged.sources]) == (
        50,
        ["hour=00/part-0.parquet", "hour=01/part-0.parquet"],
    )


def test_half_a_character_in_json_is_a_problem_of_its_file_and_quoted_nowhere(store, landing, schema):
    rows = simple_rows().to_pylist()
    write(landing, "b.csv", as_csv(simple_rows()))
    for name, odd in (("value.jsonl", {"device": "secret\ud800"}), ("name.jsonl", {"secret\ud800": 1})):
        write(landing, name, as_json([*rows[:5], rows[5] | odd]))
    staged = stage_day(store, landing, schema, DAY)
    assert {problem.file for problem in staged.problems} == {"value.jsonl", "name.jsonl"}
    assert all(problem.what.startswith("not readable as JSONL") for problem in staged.problems)
    assert "secret" not in staged.model_dump_json()
    assert staged.rows == 40


def test_a_file_whose_name_is_no_text_is_a_problem_under_a_name_that_is(store, landing, schema):
    write(landing, "a.csv", as_csv(simple_rows()))
    write(landing, os.fsdecode(b"bad\xff\n.csv"), as_csv(simple_rows(41)))
    staged = stage_day(store, landing, schema, DAY)
    assert [problem.file for problem in staged.problems] == ["bad\\udcff\\n.csv"]
    assert (load_staged(store, DAY), staged.rows) == (staged, 40)


@pytest.mark.parametrize("wrong", ["a.csv.gz", "z.csv.gz"])
def test_the_same_bytes_under_a_wrong_name_too_are_read_once_and_not_lost(store, landing, schema, wrong):
    write(landing, "rows.csv", as_csv(simple_rows()))
    write(landing, wrong, as_csv(simple_rows()))
    staged = stage_day(store, landing, schema, DAY)
    assert (staged.rows, staged.counts["rows_read"] - staged.counts["duplicates"]) == (40, 40)
    assert len(staged.problems) + staged.counts["repeated_files"] == 1


@pytest.mark.parametrize("target", ["file", "folder", "nothing"])
def test_a_link_out_of_the_landing_zone_is_a_problem_and_is_not_followed(store, landing, tmp_path, target):
    deliver(landing, raw_rows(rows=20))
    outside = deliver(tmp_path / "outside", raw_rows(rows=30, seed=1))
    places = {"file": outside, "folder": outside.parent, "nothing": tmp_path / "gone"}
    (landing / f"dt={DAY}" / "link.parquet").symlink_to(places[target])
    staged = stage(store, landing)
    assert (staged.rows, [problem.file for problem in staged.problems]) == (20, ["link.parquet"])


def test_a_link_inside_the_landing_zone_is_a_file_like_any_other(store, landing):
    path = deliver(landing, raw_rows(rows=20), "_hidden.parquet")
    (landing / f"dt={DAY}" / "part-0.parquet").symlink_to(path)
    assert len(rows_of(store, landing)) == 20


@pytest.mark.parametrize("limit", [1, 20_000])
def test_a_day_that_does_not_fit_in_memory_is_staged_byte_for_byte_as_one_that_does(store, landing, schema, limit):
    rng = np.random.default_rng(0)
    for number in range(4):
        raw = raw_rows(rows=300, seed=number % 3)
        deliver(landing, raw.take(pa.array(rng.permutation(300))), f"part-{number}.parquet")
    deliver(landing, raw_rows(DAY + timedelta(days=1), rows=40, seed=7), "early.parquet")
    held = stage(store, landing)
    spilled = stage_day(store, landing, SCHEMA, DAY, as_of=FINAL, limit=limit)
    assert spilled == held
    assert (held.rows, held.counts["duplicates"]) == (900, 300)
    assert not (landing / "_scratch").exists()
