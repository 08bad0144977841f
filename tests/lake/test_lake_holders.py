"""Where copies hide: every registered place, and files whose name or path says nothing."""

import errno
import gzip
import json
import os
import shutil
import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from handmade import SCHEMA, raw_rows
from lakes import AS_OF, DAYS, expire, planned, publish_day

from mmoe.config import RetentionConfig
from mmoe.errors import SettingsError
from mmoe.lake import contents, ledger
from mmoe.lake.audit import audit, last_audit, save_audit
from mmoe.lake.holders import FolderHolder
from mmoe.lake.inventory import known_files
from mmoe.lake.registered import dvc_places, extra_places, registered_stores
from mmoe.settings import Settings

KEEP_FOUR = RetentionConfig(days=4, max_share=1.0)


def text_rows(day):
    rows = raw_rows(day, rows=30).drop_columns(["topics"])
    return rows.set_column(1, "event_time", rows["event_time"].cast(pa.string()))


def as_parquet(rows, path):
    pq.write_table(rows, path)


def as_arrow(rows, path):
    with pa.ipc.new_file(path, rows.schema) as writer:
        writer.write_table(rows)


def as_arrow_stream(rows, path):
    with pa.ipc.new_stream(path, rows.schema) as writer:
        writer.write_table(rows)


def as_csv_gz(rows, path):
    with pa.output_stream(path, compression="gzip") as sink:
        pyarrow.csv.write_csv(rows, sink)


def as_tsv(rows, path):
    pyarrow.csv.write_csv(rows, path, pyarrow.csv.WriteOptions(delimiter="\t"))


def as_json_lines(rows, path):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))


def as_split_table(rows, path):
    """As MLflow's log_table writes it."""
    content = {"columns": rows.column_names, "data": [list(row.values()) for row in rows.to_pylist()]}
    path.write_text(json.dumps(content))


def as_json_array(rows, path):
    """As a data frame's to_json(orient="records") writes it."""
    path.write_text(json.dumps(rows.to_pylist()))


def as_columns(rows, path):
    """As a data frame's to_json() writes it."""
    path.write_text(rows.to_pandas().to_json())


def as_lists(rows, path):
    path.write_text(json.dumps(rows.to_pydict(), indent=1))


def as_index(rows, path):
    path.write_text(rows.to_pandas().to_json(orient="index", indent=1))


EVERY_FORMAT = [
    as_parquet, as_arrow, as_arrow_stream, as_csv_gz, as_tsv, as_json_lines, as_json_array, as_split_table, as_columns,
    as_lists, as_index,
]  # fmt: skip


@pytest.mark.parametrize("write", EVERY_FORMAT)
def test_a_file_is_known_by_its_rows_under_any_name(stores, tmp_path, write):
    folder = tmp_path / "mlflow" / "artifacts" / "1"
    folder.mkdir(parents=True)
    for name, day in (("old", DAYS[0]), ("new", DAYS[5])):
        write(text_rows(day), folder / name)
    assert [(item.kind, item.day, item.files) for item in planned(stores, KEEP_FOUR).items] == [("mlflow", DAYS[0], 1)]
    expire(stores, KEEP_FOUR)
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_a_file_of_several_days_goes_with_its_oldest(stores, tmp_path):
    (tmp_path / "work").mkdir()
    dump = tmp_path / "work" / "window.parquet"
    pq.write_table(pa.concat_tables([raw_rows(DAYS[4]), raw_rows(DAYS[1])]), dump)
    expire(stores, KEEP_FOUR)
    assert not dump.exists()


def test_a_copy_is_known_by_its_digest_while_and_after_its_day_exists(stores, landing, tmp_path):
    """By a look that cannot tell rows by their columns, as with a format that is not recognised."""
    publish_day(stores, DAYS[0])
    copies = tmp_path / "copies"
    copies.mkdir()
    shutil.copy(landing / f"dt={DAYS[0]}" / "part-0.parquet", copies / "raw")
    nameless = SCHEMA.event_time.model_copy(update={"column": "none"})
    blind = FolderHolder("copies", copies, SCHEMA.model_copy(update={"event_id": ("none",), "event_time": nameless}))
    assert [(copy.key, copy.day) for copy in blind.copies(known_files(stores.store, ()))] == [("raw", DAYS[0])]
    content = (copies / "raw").read_bytes()
    expire(stores, KEEP_FOUR)
    assert not copies.exists()
    copies.mkdir()
    (copies / "again").write_bytes(content)
    chain = ledger.entries(stores.store)
    assert [(copy.key, copy.day) for copy in blind.copies(known_files(stores.store, chain))] == [("again", DAYS[0])]


def test_rows_of_no_known_day_are_kept_and_fail_the_audit(stores, tmp_path):
    (tmp_path / "work").mkdir()
    path = tmp_path / "work" / "predictions.csv"
    path.write_text("event_id,score\nx,0.5\n")
    assert planned(stores, KEEP_FOUR).undated == ("home:work/predictions.csv",)
    expire(stores, KEEP_FOUR)
    report = audit(stores, AS_OF, KEEP_FOUR)
    assert not report.ok
    assert report.findings == [
        "home:work/predictions.csv holds rows of no known day; move it below a dt=YYYY-MM-DD folder or delete it."
    ]
    moved = tmp_path / "work" / f"dt={DAYS[0]}" / "predictions.csv"
    moved.parent.mkdir()
    path.rename(moved)
    expire(stores, KEEP_FOUR)
    assert not moved.exists()
    assert audit(stores, AS_OF, KEEP_FOUR).ok


def damaged(rows, path):
    """Copies of rows that their readers give up on, by name."""
    as_csv_gz(rows, path / "whole.csv.gz")
    text = gzip.decompress((path / "whole.csv.gz").read_bytes())
    as_parquet(rows, path / "whole.parquet")
    lines = "".join(json.dumps(row) + "\n" for row in rows.to_pylist())
    names, values = rows.column_names, [list(row.values()) for row in rows.to_pylist()]
    return {
        "cut-in-a-row.csv": text.rsplit(b",", 3)[0],
        "one-value-more.csv": text.replace(b"\n", b",more\n", 3).replace(b",more\n", b"\n", 1),
        "two-in-one.csv.gz": gzip.compress(text) + gzip.compress(b"x,y,z\n"),
        "zipped.parquet.gz": gzip.compress((path / "whole.parquet").read_bytes()),
        "wide-characters.csv": text.decode().encode("utf-16"),
        "cut-array.json": f"[{lines}".replace("}\n{", "},\n{").encode()[:-9],
        "ragged-table.json": json.dumps({"columns": names, "data": [*values, values[0][:2]]}).encode(),
        os.fsdecode(b"\xff.csv"): text,
        "cut-table.json": json.dumps({"columns": names, "data": values}).encode()[:-9],
        "cut-columns.json": json.dumps(rows.to_pydict()).encode()[:-9],
        "crooked.arrow": crooked(rows, as_arrow, path / "whole"),
        "crooked-stream": crooked(rows, as_arrow_stream, path / "whole"),
    }


def crooked(rows, write, path):
    """Texts that reach beyond the file: whoever follows them without a look reads other memory, or none."""
    write(rows, path)
    content = path.read_bytes()
    path.unlink()
    ends = np.cumsum([0, *(len(text) for text in rows["view_type"].to_pylist())]).astype(np.int32)
    place = content.index(ends.tobytes()) + 4 * 10
    return content[:place] + (2**30).to_bytes(4, "little") + content[place + 4 :]


def test_damaged_copies_of_rows_fail_the_audit_and_go_with_the_day_that_their_place_tells(stores, tmp_path):
    work = tmp_path / "work"
    folders = [work, work / f"dt={DAYS[0]}"]
    folders[1].mkdir(parents=True)
    files = damaged(text_rows(DAYS[0]), tmp_path)
    for whole in ("whole.csv.gz", "whole.parquet"):
        (tmp_path / whole).unlink()
    for folder in folders:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    expire(stores, KEEP_FOUR)
    assert not folders[1].exists()
    report = audit(stores, AS_OF, KEEP_FOUR)
    assert {key.removeprefix("home:work/") for key in report.undated} == {
        name if name.isascii() else "\\udcff.csv" for name in files
    }
    save_audit(stores.store, report)
    assert last_audit(stores.store) == report


def test_a_file_that_nobody_may_read_fails_the_audit_and_keeps_nothing_else(stores, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    locked, dump = tmp_path / "work" / "locked", tmp_path / "work" / "dump"
    for path in (locked, dump):
        as_parquet(text_rows(DAYS[0]), path)
    opened = contents.open_blocks

    def refused(path):
        if path == locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path)

    monkeypatch.setattr(contents, "open_blocks", refused)
    expire(stores, KEEP_FOUR)
    assert (locked.exists(), dump.exists()) == (True, False)
    assert audit(stores, AS_OF, KEEP_FOUR).undated == ("home:work/locked",)


def test_what_holds_no_rows_is_left_alone(stores, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "plan.json").write_text('{"days": ["2026-03-01"], "kind": "batch"}')
    (work / "schema.json").write_text(SCHEMA.model_dump_json(indent=1))
    (work / "schema-in-a-line.json").write_text(SCHEMA.model_dump_json())
    (work / "curves.json").write_text('{"loss": [0.5, 0.4], "step": [1, 2]}')
    (work / "by-version.json").write_text('{"1": {"auc": 0.7}, "2": {"auc": 0.8}}')
    (work / "cut.json").write_text('{"event_times": {"column": ')
    (work / "losses.csv").write_text("loss,rows,value\nclick,100,0.5\n")
    (work / "log.txt").write_text("2026-03-01, event_id of no row\n")
    (work / "weights.safetensors").write_bytes(bytes(range(256)) * 10)
    (work / "notes.gz").write_bytes(gzip.compress(b"user_id, but no rows"))
    (work / "empty").write_bytes(b"")
    pq.write_table(pa.table({"head": ["click"], "auc": [0.7]}), work / "metrics.parquet")
    with sqlite3.connect(work / "mlflow.db") as database:
        database.execute("create table runs (event_id, event_time)")
    before = sorted(work.iterdir())
    plan = planned(stores, KEEP_FOUR)
    assert (plan.items, plan.undated) == ((), ())
    expire(stores, KEEP_FOUR)
    assert sorted(work.iterdir()) == before


def test_dvc_cache_and_remotes_extra_stores_and_the_local_cache_are_walked(store, tmp_path):
    project, home = tmp_path / "project", tmp_path
    (project / ".dvc").mkdir(parents=True)
    (project / ".dvc" / "config").write_text(
        "[core]\nremote = backup\n['remote \"backup\"']\nurl = ../../remote\n[cache]\ndir = ../../dvc-cache\n"
    )
    places = {
        "dvc": project / ".dvc" / "tmp" / "exps" / "x.parquet",
        "dvc-cache": tmp_path / "dvc-cache" / "files" / "md5" / "ab" / "cdef",
        "dvc-backup": tmp_path / "remote" / "files" / "md5" / "ab" / "cdef",
        "dumps": tmp_path / "elsewhere" / "dump.parquet",
        "cache": home / "cache" / "lake" / "engagement" / f"dt={DAYS[0]}" / "0123456789abcdef" / "part-0.parquet",
        "work": home / "work" / "eval.parquet",
    }
    for path in places.values():
        path.parent.mkdir(parents=True)
        pq.write_table(raw_rows(DAYS[0]), path)
    settings = Settings(home=home, dvc_project=project, extra_stores=f"dumps={tmp_path / 'elsewhere'}")
    stores = registered_stores(settings, SCHEMA, store)
    assert {item.kind for item in planned(stores, KEEP_FOUR).items} == set(places)
    expire(stores, KEEP_FOUR)
    assert [path for path in places.values() if path.exists()] == []
    report = audit(stores, AS_OF, KEEP_FOUR)
    assert report.ok
    assert {walked.name for walked in report.walked} >= {*places} - {"work"} | {"lake", "landing", "home"}


def test_addresses_in_other_schemes_stay_addresses():
    assert list(extra_places("a=s3://bucket/x, b=/srv/dumps")) == [("a", "s3://bucket/x"), ("b", "/srv/dumps")]
    with pytest.raises(SettingsError, match=r"MMOE_EXTRA_STORES='/srv/dumps': give NAME=ADDRESS"):
        list(extra_places("/srv/dumps"))


def test_a_project_without_dvc_has_no_places(tmp_path):
    assert list(dvc_places(tmp_path)) == []


def test_a_folder_link_is_removed_and_not_followed(stores, landing, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    pq.write_table(raw_rows(DAYS[0]), outside / "kept.parquet")
    (landing / f"dt={DAYS[0]}").mkdir(parents=True)
    (landing / f"dt={DAYS[0]}" / "link").symlink_to(outside)
    expire(stores, KEEP_FOUR)
    assert not (landing / f"dt={DAYS[0]}").exists()
    assert (outside / "kept.parquet").exists()
