import csv
import gzip
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from handmade import DAY, SCHEMA, raw_rows, staged_table

from mmoe.errors import SchemaError
from mmoe.lake.ingest import stage_day
from mmoe.lake.landing import deliver, find_days
from mmoe.schema import Schema, load_schema

KINDS = ".parquet, .csv, .tsv, .jsonl (or the last three with .gz, .zst, .bz2)"
NEXT = DAY + timedelta(days=1)


def schema_with(**source) -> Schema:
    return Schema.model_validate(SCHEMA.model_dump(mode="json") | {"source": source})


def write_parquet(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "data"
    for day in (DAY, NEXT):
        write_parquet(folder / f"dt={day}" / "part-0.parquet", raw_rows(day))
    return folder


@pytest.mark.parametrize(
    ("pattern", "path", "name"),
    [
        ("dt={date}/*", "dt=2026-03-10/part-0.parquet", "part-0.parquet"),
        ("log/date={yyyymmdd}/*.parquet", "log/date=20260310/a.parquet", "a.parquet"),
        ("{date}.parquet", "2026-03-10.parquet", "2026-03-10.parquet"),
        ("events-{yyyymmdd}-*.parquet", "events-20260310-7.parquet", "events-20260310-7.parquet"),
        ("dt={date}/log-{yyyymmdd}.parquet", "dt=2026-03-10/log-20260310.parquet", "log-20260310.parquet"),
        ("region=*/dt={date}/*", "region=eu/dt=2026-03-10/a.parquet", "region=eu/a.parquet"),
        ("*{date}*/x.parquet", "b2026-03-10/x.parquet", "b2026-03-10/x.parquet"),
        ("**/dt={date}/*", "a/b/dt=2026-03-10/x.parquet", "a/b/dt=2026-03-10/x.parquet"),
        ("v[12]/{date}.parquet", "v2/2026-03-10.parquet", "v2/2026-03-10.parquet"),
        ("x?/[!y]{date}.parquet", "x1/z2026-03-10.parquet", "x1/z2026-03-10.parquet"),
    ],
)
def test_a_pattern_tells_the_day_and_a_name_below_it(tmp_path, landing, pattern, path, name):
    source = write_parquet(tmp_path / "data" / path, raw_rows())
    schema = schema_with(files=pattern)
    assert find_days(tmp_path / "data", schema) == [DAY]
    delivery = deliver(tmp_path / "data", schema, landing)
    assert delivery.days == {DAY: (name,)}
    assert content(landing) == {f"dt=2026-03-10/{name}": source.read_bytes()}


@pytest.mark.parametrize(
    "path", ["dt=2026-13-10/x.parquet", "dt=2026-03-10-x/x.parquet", "dt=2026-03-10/.x", "dt=2026-03-10/_SUCCESS"]
)
def test_what_only_looks_like_a_day_or_is_a_marker_is_passed_over(data, landing, path):
    write_parquet(data / path, raw_rows())
    assert deliver(data, SCHEMA, landing).days == {DAY: ("part-0.parquet",), NEXT: ("part-0.parquet",)}


def test_two_folders_of_a_day_never_share_a_landing_name(tmp_path, landing):
    for region in ("eu", "us"):
        write_parquet(tmp_path / "data" / f"region={region}" / f"{DAY}" / "part-0.parquet", raw_rows())
    delivery = deliver(tmp_path / "data", schema_with(files="*/{date}/*"), landing)
    assert delivery.days == {DAY: ("region=eu/part-0.parquet", "region=us/part-0.parquet")}


def test_only_the_days_asked_for_are_delivered(data, landing):
    delivery = deliver(data, SCHEMA, landing, days=[NEXT, date(2030, 1, 1)])
    assert list(delivery.days) == [NEXT]
    assert list(content(landing)) == [f"dt={NEXT}/part-0.parquet"]


def test_delivering_again_writes_nothing_and_a_changed_file_replaces_its_landing(data, landing):
    assert deliver(data, SCHEMA, landing).written == 2
    before = {path: path.stat().st_mtime_ns for path in landing.rglob("*.parquet")}
    again = deliver(data, SCHEMA, landing)
    assert again.written == 0
    assert list(again.days) == [DAY, NEXT]
    assert {path: path.stat().st_mtime_ns for path in landing.rglob("*.parquet")} == before
    changed = write_parquet(data / f"dt={DAY}" / "part-0.parquet", raw_rows(seed=9))
    assert deliver(data, SCHEMA, landing).written == 1
    assert (landing / f"dt={DAY}" / "part-0.parquet").read_bytes() == changed.read_bytes()


def test_what_a_killed_delivery_left_is_no_landing_file_and_a_second_one_completes_it(data, landing, store):
    whole = (data / f"dt={DAY}" / "part-0.parquet").read_bytes()
    aside = landing / f"dt={DAY}" / ".part-0.parquet.12345.tmp"
    aside.parent.mkdir(parents=True)
    aside.write_bytes(whole[:100])
    deliver(data, SCHEMA, landing)
    staged = stage_day(store, landing, SCHEMA, DAY)
    assert (staged.rows, staged.problems) == (200, ())


def test_a_corrupt_file_among_good_ones_is_delivered_for_quarantine_to_name(data, landing, store):
    first = data / f"dt={DAY}" / "part-0.parquet"
    first.write_bytes(first.read_bytes()[:500])
    (data / f"dt={DAY}" / "part-1.parquet").write_bytes(b"")
    assert len(deliver(data, SCHEMA, landing).days[DAY]) == 2
    assert len(stage_day(store, landing, SCHEMA, DAY).problems) == 2
    assert stage_day(store, landing, SCHEMA, NEXT).problems == ()


def test_a_file_of_another_schema_among_good_ones_is_delivered_for_quarantine_to_name(data, landing, store):
    write_parquet(data / f"dt={DAY}" / "part-0.parquet", pa.table({"something": [1]}))
    deliver(data, SCHEMA, landing)
    assert "another schema" in str(stage_day(store, landing, SCHEMA, DAY).problems[0])


def test_an_absent_folder_is_named(tmp_path, landing):
    with pytest.raises(SchemaError, match=r"nowhere: no such folder\. Give a folder of engagement files"):
        deliver(tmp_path / "nowhere", SCHEMA, landing)


@pytest.mark.parametrize("there", [["other.csv", "more/"], []])
def test_no_match_tells_the_pattern_and_what_is_there(tmp_path, there):
    for name in there:
        path = tmp_path / "data" / name
        path.mkdir(parents=True) if name.endswith("/") else path.parent.mkdir() or path.touch()
    (tmp_path / "data").mkdir(exist_ok=True)
    shown = "more/, other.csv" if there else "nothing in it"
    with pytest.raises(SchemaError, match=rf"source.files='dt=\{{date\}}/\*' of schema 'handmade'; there is {shown}"):
        find_days(tmp_path / "data", SCHEMA)


def test_missing_columns_are_listed_with_the_nearest_present(data, landing):
    for path in data.rglob("*.parquet"):
        table = pq.read_table(path).rename_columns({"device": "devices", "price": "cost"})
        pq.write_table(table, path)
    with pytest.raises(SchemaError, match=r"columns missing: device \(nearest there: devices\), price\.") as caught:
        deliver(data, SCHEMA, landing)
    assert "set `column`" in str(caught.value)
    assert not landing.exists()


def test_a_folder_without_one_readable_file_is_refused_with_the_reason(data, landing):
    for path in data.rglob("*.parquet"):
        path.write_bytes(b"PAR1 no more")
    with pytest.raises(SchemaError, match=r"part-0.parquet: not readable as PARQUET.*no other file fits"):
        deliver(data, SCHEMA, landing)


@pytest.mark.parametrize("pattern", ["", "/abs/{date}", "../{date}", "a**b/{date}"])
def test_an_unusable_pattern_is_refused(data, pattern):
    with pytest.raises(SchemaError, match=r"source.files='"):
        find_days(data, schema_with(files=pattern))


def test_side_tables_are_delivered_and_their_columns_count_as_present(data, landing, store):
    for path in data.rglob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["device"]), path)
    devices = pa.table({"ad_id": range(50), "device": [f"phone {number % 3}" for number in range(50)]})
    pyarrow.csv.write_csv(devices, data / "ads.csv")
    schema = schema_with(tables=[{"file": "ads.csv", "key": "ad_id"}])
    delivery = deliver(data, schema, landing)
    assert (delivery.tables, delivery.written) == (("ads.csv",), 3)
    assert (landing / "_tables" / "ads.csv").read_bytes() == (data / "ads.csv").read_bytes()
    assert stage_day(store, landing, schema, DAY).nulls["device"] == 0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"file": "none.csv", "key": "ad_id"}, r"none\.csv: no such file, but source\.tables names it"),
        ({"file": "ads.csv", "key": "adid"}, r"ads\.csv: columns missing: adid \(nearest there: ad_id\)"),
        ({"file": "ads.csv", "key": "ad_id", "columns": ["device"]}, r"ads\.csv: columns missing: device"),
        ({"file": "empty.csv", "key": "ad_id"}, r"empty\.csv: the file is empty"),
    ],
)
def test_an_unusable_side_table_is_refused_by_file_and_column(data, landing, table, message):
    pyarrow.csv.write_csv(pa.table({"ad_id": [1], "color": ["red"]}), data / "ads.csv")
    (data / "empty.csv").touch()
    with pytest.raises(SchemaError, match=message):
        deliver(data, schema_with(tables=[table]), landing)


def split_source(folder: Path, form: str) -> list[dict]:
    """600 rows of three days, shuffled, in two files of `form`; returns the rows."""
    rows = [row for day in (DAY, NEXT, NEXT + timedelta(days=1)) for row in raw_rows(day).to_pylist()]
    rows = rows[::2] + rows[1::2]
    folder.mkdir(parents=True)
    for part in (0, 1):
        written = [
            row | {"event_time": row["event_time"].isoformat(), "topics": "|".join(map(str, row["topics"] or []))}
            for row in rows[part * 300 : part * 300 + 300]
        ]
        path = folder / f"events-{part}.{form}"
        with (gzip.open if form.endswith(".gz") else open)(path, "wt", newline="") as handle:
            if form.startswith("csv"):
                writer = csv.DictWriter(handle, written[0].keys())
                writer.writeheader()
                writer.writerows(written)
            else:
                handle.writelines(json.dumps(row) + "\n" for row in written)
    return rows


def splitting_schema(files: str, **event_time) -> Schema:
    content = SCHEMA.model_dump(mode="json") | {"source": {"files": files}}
    content["event_time"] = {"unit": "iso"} | event_time
    content["features"]["multivalued"]["topics"]["separator"] = "|"
    return Schema.model_validate(content)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl"])
@pytest.mark.parametrize("shift", [0, 8, -7])
def test_files_that_tell_no_day_are_split_by_event_day(tmp_path, landing, store, form, shift):
    rows = split_source(tmp_path / "data", form)
    schema = splitting_schema("*", day_starts_utc=shift)
    expected = Counter((row["event_time"] + timedelta(hours=shift)).date() for row in rows)
    delivery = deliver(tmp_path / "data", schema, landing)
    assert find_days(tmp_path / "data", schema) == sorted(expected) == list(delivery.days)
    for day, count in expected.items():
        staged = stage_day(store, landing, schema, day)
        assert (staged.rows, staged.problems, staged.counts["off_day_rows"]) == (count, (), 0)
        identities = set(staged_table(store, staged)["event_id"].to_pylist())
        assert identities == {
            row["event_id"] for row in rows if (row["event_time"] + timedelta(hours=shift)).date() == day
        }
    assert deliver(tmp_path / "data", schema, landing).written == 0


def test_a_split_delivery_of_some_days_leaves_the_others_out(tmp_path, landing):
    split_source(tmp_path / "data", "csv")
    delivery = deliver(tmp_path / "data", splitting_schema("*.csv"), landing, days=[NEXT])
    assert delivery.days == {NEXT: ("events-0.csv.parquet", "events-1.csv.parquet")}
    assert {name.split("/")[0] for name in content(landing)} == {f"dt={NEXT}"}


def test_rows_without_a_time_land_on_the_commonest_day_and_are_counted_there(tmp_path, landing, store):
    rows = raw_rows(rows=50).to_pylist() + raw_rows(NEXT, rows=20).to_pylist()
    for row in rows:
        row["event_time"] = row["event_time"].isoformat()
    rows[3]["event_time"] = "yesterday"
    write_parquet(tmp_path / "data" / "log.parquet", pa.Table.from_pylist(rows))
    schema = splitting_schema("log.parquet")
    deliver(tmp_path / "data", schema, landing)
    problems = [stage_day(store, landing, schema, day).problems for day in (DAY, NEXT)]
    assert [(problem.column, problem.rows) for problem in problems[0]] == [("event_time", 1)]
    assert problems[1] == ()


def test_a_file_that_cannot_be_split_is_reported_and_the_others_are_delivered(tmp_path, landing):
    split_source(tmp_path / "data", "csv")
    (tmp_path / "data" / "a-README.txt").write_text("hello")
    (tmp_path / "data" / "truncated.csv.gz").write_bytes(gzip.compress(b"event_id,event_time\n" * 99)[:30])
    pyarrow.csv.write_csv(pa.table({"x": [1]}), tmp_path / "data" / "other.csv")
    pyarrow.csv.write_csv(pa.table({"event_time": ["never"]}), tmp_path / "data" / "timeless.csv")
    schema = splitting_schema("*")
    delivery = deliver(tmp_path / "data", schema, landing)
    assert len(delivery.days) == len(find_days(tmp_path / "data", schema)) == 3
    assert {name: reason.split(":")[0] for name, reason in delivery.unsorted.items()} == {
        "a-README.txt": f"unknown kind of file; use {KINDS}",
        "truncated.csv.gz": "not readable as CSV in gzip",
        "other.csv": "another schema",
        "timeless.csv": "no row has a readable time in column event_time",
    }


def test_a_side_table_beside_the_log_is_not_taken_for_a_part_of_it(tmp_path, landing):
    split_source(tmp_path / "data", "csv")
    pyarrow.csv.write_csv(pa.table({"ad_id": range(50), "color": ["red"] * 50}), tmp_path / "data" / "ads.csv")
    content = splitting_schema("*.csv").model_dump(mode="json")
    content["source"]["tables"] = [{"file": "ads.csv", "key": "ad_id"}]
    delivery = deliver(tmp_path / "data", Schema.model_validate(content), landing)
    assert delivery.unsorted == {}
    assert all("ads.csv.parquet" not in names for names in delivery.days.values())


def test_a_third_data_set_needs_a_yaml_file_and_no_python(tmp_path, landing, store):
    """The example of docs/schema.md, read from the page, on data of its kind."""
    page = (Path(__file__).parents[2] / "docs" / "schema.md").read_text()
    (tmp_path / "shop.yaml").write_text(page.split("```yaml\n# shop.yaml\n")[1].split("```")[0])
    schema = load_schema(tmp_path / "shop.yaml")
    folder = tmp_path / "data"
    folder.mkdir()
    start = datetime(2026, 5, 1, 23, 30, tzinfo=UTC)
    rows = [
        f"{number},{int((start + timedelta(hours=number)).timestamp())},u{number % 7},p{number % 5},"
        f"{'list' if number % 3 else 'banner'},{number / 2},new|sale,{number % 2}\n"
        for number in range(60)
    ]
    (folder / "clicks.csv").write_text("id,ts,customer,product,place,price,tags,clicked\n" + "".join(rows))
    (folder / "products.csv").write_text(
        "product,brand\n" + "".join(f"p{number},b{number % 2}\n" for number in range(5))
    )
    days = list(deliver(folder, schema, landing).days)
    assert days == [date(2026, 5, 2), date(2026, 5, 3), date(2026, 5, 4)]
    staged = [stage_day(store, landing, schema, day) for day in days]
    assert sum(day.rows for day in staged) == 60
    assert all(day.problems == () and day.nulls["brand"] == 0 for day in staged)
