"""Landing files that nobody can look into: each has an end, and the audit names it until then."""

import os
import pickle
import sqlite3
import tarfile
import zipfile
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from handmade import SCHEMA, deliver, raw_rows
from lakes import AS_OF, DAYS, expire

from mmoe.config import RetentionConfig
from mmoe.lake.audit import audit, last_audit, save_audit
from mmoe.lake.holds import Hold, add_hold, end_hold
from mmoe.lake.registered import registered_stores
from mmoe.schema import Source
from mmoe.settings import Settings

KEEP_FOUR = RetentionConfig(days=4, max_share=1.0)  # on AS_OF the horizon is DAYS[2]
HOLD = Hold(first=DAYS[0], last=DAYS[0], owner="legal", reason="case 19", until=date(2026, 6, 30), added_by="ada")


def text_rows(day):
    rows = raw_rows(day, rows=30).drop_columns(["topics"])
    return rows.set_column(1, "event_time", rows["event_time"].cast(pa.string()))


def as_pickle(rows, path):
    path.write_bytes(pickle.dumps(rows.to_pylist()))


def as_zip(rows, path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", csv_of(rows))


def as_tar(rows, path):
    inner = path.with_name("rows.csv")
    inner.write_bytes(csv_of(rows))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(inner, "rows.csv")
    inner.unlink()


def as_sqlite(rows, path):
    with sqlite3.connect(path) as database:
        database.execute("create table rows (event_id, event_time, view_type)")
        named = rows.select(["event_id", "event_time", "view_type"]).to_pylist()
        database.executemany("insert into rows values (:event_id, :event_time, :view_type)", named)
    database.close()


def as_avro(rows, path):
    """Its magic and header, and rows in a block that no reader here knows."""
    path.write_bytes(b"Obj\x01\x02\x16avro.schema" + pickle.dumps(rows.to_pylist()))


def as_orc(rows, path):
    pyarrow.orc.write_table(rows, str(path))


def as_half_a_parquet(rows, path):
    pq.write_table(rows, path)
    path.write_bytes(path.read_bytes()[:-100])


def as_notes(rows, path):
    path.write_text("\n".join(str(row) for row in rows["event_id"].to_pylist()))


def csv_of(rows):
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(rows, sink)
    return sink.getvalue().to_pybytes()


UNSEEN = [as_orc, as_pickle, as_zip, as_tar, as_sqlite, as_avro, as_half_a_parquet, as_notes]


def written_on(path, day):
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    os.utime(path, (noon, noon))


def placed(landing, write, folder, written, name="export"):
    path = landing / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(text_rows(DAYS[0]), path)
    written_on(path, written)
    return path


@pytest.mark.parametrize("write", UNSEEN)
def test_a_file_in_no_days_folder_goes_with_the_day_it_was_written_on_and_fails_the_audit_until_then(
    stores, landing, write
):
    path = placed(landing, write, "exports", DAYS[3])
    expire(stores, KEEP_FOUR)
    assert path.exists()
    report = audit(stores, AS_OF, KEEP_FOUR)
    assert [(each.key, each.day, each.dated) for each in report.unseen] == [("landing:exports/export", DAYS[3], False)]
    assert not report.ok
    assert report.findings == [
        "landing:exports/export cannot be looked into, or tells no day that can be believed: it goes as a whole once "
        "2026-03-04 is behind the horizon; before that, deliver its rows as Parquet, CSV or JSON lines below their "
        "day's dt=YYYY-MM-DD folder, or delete it."
    ]
    later = AS_OF + timedelta(days=2)
    assert [(item.kind, item.day) for item in audit(stores, later, KEEP_FOUR).overdue] == [("landing", DAYS[3])]
    expire(stores, KEEP_FOUR, later)
    assert not path.exists()
    assert audit(stores, later, KEEP_FOUR).ok


@pytest.mark.parametrize("write", UNSEEN)
def test_a_file_in_a_days_folder_goes_with_that_day_and_is_named_until_then(stores, landing, write):
    kept = placed(landing, write, f"dt={DAYS[2]}", DAYS[2])
    gone = placed(landing, write, f"dt={DAYS[1]}", DAYS[5])
    expire(stores, KEEP_FOUR)
    assert (kept.exists(), gone.exists()) == (True, False)
    report = audit(stores, AS_OF, KEEP_FOUR)
    assert report.ok
    assert report.remarks == [
        "landing:dt=2026-03-03/export cannot be looked into: it goes as a whole once 2026-03-03 is behind the horizon; "
        "before that, deliver its rows as Parquet, CSV or JSON lines below their day's dt=YYYY-MM-DD folder, or delete "
        "it."
    ]
    save_audit(stores.store, report)
    assert last_audit(stores.store) == report
    expire(stores, KEEP_FOUR, AS_OF + timedelta(days=1))
    assert not kept.exists()


def test_a_folder_dated_in_the_future_hides_nothing_beyond_the_day_its_file_was_written_on(stores, landing):
    path = placed(landing, as_pickle, "dt=2099-01-01", DAYS[3])
    deliver(landing, pa.concat_tables([raw_rows(DAYS[0]), raw_rows(DAYS[4])]), day=date(2099, 1, 1))
    expire(stores, KEEP_FOUR)
    report = audit(stores, AS_OF, KEEP_FOUR)
    assert [(each.key, each.day, each.dated) for each in report.unseen] == [
        ("landing:dt=2099-01-01/export", DAYS[3], False)
    ]
    assert not report.ok
    assert pq.read_table(landing / "dt=2099-01-01" / "part-0.parquet").num_rows == 200
    expire(stores, KEEP_FOUR, AS_OF + timedelta(days=2))
    assert not path.exists()


def test_rows_without_a_time_in_a_folder_dated_in_the_future_are_of_the_day_they_were_written_on(stores, landing):
    updates = raw_rows(DAYS[1], rows=20).select(["event_id", "save"])
    path = deliver(landing, updates, "saves.parquet", day=date(2099, 1, 1))
    written_on(path, DAYS[2])
    expire(stores, KEEP_FOUR)
    assert path.exists()
    expire(stores, KEEP_FOUR, AS_OF + timedelta(days=1))
    assert not path.exists()


def test_links_are_named_and_not_followed(stores, landing, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    pq.write_table(raw_rows(DAYS[0]), outside / "rows.parquet")
    folder = landing / f"dt={DAYS[3]}"
    folder.mkdir(parents=True)
    (folder / "folder").symlink_to(outside)
    (folder / "file").symlink_to(outside / "rows.parquet")
    expire(stores, KEEP_FOUR)
    assert [each.key for each in audit(stores, AS_OF, KEEP_FOUR).unseen] == [
        f"landing:dt={DAYS[3]}/file", f"landing:dt={DAYS[3]}/folder",
    ]  # fmt: skip
    expire(stores, KEEP_FOUR, AS_OF + timedelta(days=2))
    assert not folder.exists()
    assert (outside / "rows.parquet").exists()


def test_a_hold_keeps_a_file_that_may_hold_its_rows(stores, landing):
    loose = placed(landing, as_pickle, "", DAYS[1])
    dated = placed(landing, as_pickle, f"dt={DAYS[0]}", DAYS[1])
    held = add_hold(stores.store, HOLD.model_copy(update={"view_type": "search"}))
    expire(stores, KEEP_FOUR)
    assert (loose.exists(), dated.exists()) == (True, True)
    assert {each.key for each in audit(stores, AS_OF, KEEP_FOUR).unseen} == {
        "landing:export", f"landing:dt={DAYS[0]}/export",
    }  # fmt: skip
    end_hold(stores.store, held.id, "bob")
    expire(stores, KEEP_FOUR)
    assert (loose.exists(), dated.exists()) == (False, False)


def test_side_tables_markers_and_files_without_rows_are_not_named(tmp_path, store, landing):
    table = {"file": "users.bin", "key": "user_id", "columns": ["age"]}
    schema = SCHEMA.model_copy(update={"source": Source.model_validate({"tables": [table]})})
    stores = registered_stores(Settings(home=tmp_path, dvc_project=tmp_path / "project"), schema, store)
    (landing / "_tables").mkdir(parents=True)
    (landing / "_tables" / "users.bin").write_bytes(b"\0\1\2")
    (landing / "_SUCCESS").write_bytes(b"")
    (landing / "header.csv").write_text("event_id,event_time\n")
    expire(stores, KEEP_FOUR)
    assert audit(stores, AS_OF, KEEP_FOUR).ok
    assert len([path for path in landing.rglob("*") if path.is_file()]) == 3
