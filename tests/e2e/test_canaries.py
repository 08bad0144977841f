"""Strings planted in raw rows, carried through the whole loop, and looked for in every file and object afterwards."""

import gzip
import json
import os
import pickle
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import BytesIO

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyarrow import orc

from mmoe.lake.manifest import Validation
from mmoe.lake.publish import publish, save_validation
from mmoe.lake.reader import published_days
from mmoe.lake.staging import load_staged
from mmoe.registry import Registry
from mmoe.settings import Settings
from mmoe.steps.context import Context
from mmoe.steps.data import ingest_step
from mmoe.steps.evaluation import evaluate_step
from mmoe.steps.governance import retention_apply_step, retention_audit_step, retention_plan_step
from mmoe.steps.judging import gate_step
from mmoe.steps.planning import BatchChoices, plan_batch_step, plan_bootstrap_step
from mmoe.steps.release import install_step, report_step
from mmoe.steps.training import score_teacher_step, train_batch_step, train_incremental_step

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DAYS = [date(2026, 3, 1) + timedelta(days=number) for number in range(8)]
AS_OF = DAYS[-1] + timedelta(days=1)
EXPIRE, SEARCH = DAYS[:4], DAYS[:6]
"""Days that go, and days whose searches go."""
SCHEMA = {
    "name": "canaries",
    "view_type": {"values": ["home", "search"]},
    "group_id": "user_id",
    "features": {
        "categorical": {"user_id": {"type": "int", "buckets": 100}, "device": {"buckets": 64}},
        "numeric": {"price": {}},
    },
    "labels": {"click": {}, "hide": {"role": "guardrail"}},
}
EXPERT = {"hidden": [8, 4]}
PROFILE = {
    "min_lift": 0.001, "prove_lift": 0.0, "slice_margin": -0.001, "prove_slices": -0.001, "max_calibration_shift": 0.1,
}  # fmt: skip
PARAMS = {
    "baseline": {"experts": [{"kind": "mlp"} | EXPERT], "embedding_dim": 4},
    "model": {"experts": [{"kind": "mlp"} | EXPERT, {"kind": "dcnv2"} | EXPERT], "embedding_dim": 4},
    "train": {"batch_size": 256},
    "window": {"train_days": 4, "catch_up_days": 1, "holdout_days": 1},
    "retention": {"days": 4, "view_types": {"search": 2}, "max_share": 0.95},
    "gate": {"profiles": {"lift": PROFILE, "refresh": PROFILE}},
}


def canary(day: date, view_type: str) -> str:
    return f"CANARY-{day:%Y%m%d}-{view_type}"


def raw_rows(day: date, rows: int = 400) -> pa.Table:
    rng = np.random.default_rng(day.toordinal())
    view_type = np.where(np.arange(rows) % 2, "home", "search")
    user = rng.integers(0, 40, rows)
    click = rng.random(rows) < 1 / (1 + np.exp(1 - np.sin(user)))
    return pa.table(
        {
            "event_id": [f"{canary(day, name)}-{row}" for row, name in enumerate(view_type)],
            "event_time": [f"{day}T12:00:{row % 60:02d}Z" for row in range(rows)],
            "view_type": view_type,
            "user_id": user,
            "device": [canary(day, name) for name in view_type],
            "price": rng.random(rows),
            "click": click.astype(int),
            "hide": (rng.random(rows) < 0.2).astype(int),
        }
    )


@pytest.fixture(params=["folder", "moto versioned", pytest.param("ceph versioned", marks=pytest.mark.ceph)])
def context(request, tmp_path) -> Context:
    home = tmp_path / "home"
    home.mkdir()
    for name, content in (("schema.yaml", SCHEMA), ("params.yaml", PARAMS)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    lake, extra = "", f"dumps={tmp_path / 'dumps'}"
    if request.param != "folder":
        bucket = request.getfixturevalue("make_bucket")(request.param)
        lake, extra = f"s3://{bucket}/lake", f"{extra},exports=s3://{bucket}/exports"
    (tmp_path / "project" / ".dvc").mkdir(parents=True)
    settings = Settings(
        home=home, schema_file=str(tmp_path / "schema.yaml"), params_file=tmp_path / "params.yaml", lake=lake,
        registered_model="canaries", threads=1, extra_stores=extra, dvc_project=tmp_path / "project",
    )  # fmt: skip
    return Context(settings)


def deliver(context: Context, day: date) -> None:
    folder = context.settings.landing_path / f"dt={day}"
    folder.mkdir(parents=True)
    rows = raw_rows(day).to_pylist()
    with gzip.open(folder / "rows.jsonl.gz", "wt") as handle:
        handle.writelines(json.dumps(row) + "\n" for row in rows)


def load(context: Context, day: date) -> None:
    """Ingest and publish, twice: on a versioned store the first publication stays as past versions."""
    deliver(context, day)
    for status in ("warned", "passed"):
        ingest_step(context, day)
        staged = load_staged(context.store, day)
        validation = Validation(status=status, subject=staged.digest, checks=1)
        save_validation(context.store, day, validation)
        publish(context.store, staged, validation, context.schema)


def run_the_loop(context: Context) -> str:
    """Bootstrap, then a distilled challenger up to its report; the version it became."""
    plan = plan_bootstrap_step(context, DAYS[0], DAYS[1])["plan"]
    train_batch_step(context, plan)
    install_step(context, plan, "test")
    plan = plan_batch_step(context, AS_OF, BatchChoices())["plan"]
    score_teacher_step(context, plan)
    train_batch_step(context, plan)
    train_incremental_step(context, plan)
    evaluate_step(context, plan)
    gate_step(context, plan)
    return str(report_step(context, plan, "test")["version"])


def plant_copies(context: Context, version: str) -> None:
    """What people and tools leave behind: dumps, MLflow artifacts, DVC objects, staged rows, unfinished writes."""
    home, rows = context.settings.home, raw_rows(DAYS[0])
    registry = Registry(context.settings)
    run = registry.version(version).run_id
    table = home / "eval_table.json"
    table.write_text(json.dumps({"columns": rows.column_names, "data": [[*row.values()] for row in rows.to_pylist()]}))
    registry._client.log_artifact(run, str(table), "eval")
    dumps = [home / "work" / "dump", context.settings.dvc_project / ".dvc" / "cache" / "files" / "md5" / "ab" / "cd"]
    dumps += [home / "reports" / "rows.parquet", home.parent / "dumps" / "predictions.parquet"]
    for path in dumps:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, path)
    mixed = home / "work" / "window.parquet"
    pq.write_table(pa.concat_tables([raw_rows(DAYS[3]), raw_rows(DAYS[7])]), mixed)
    shutil.copy(table, home / "cache" / "copy.json") if (home / "cache").is_dir() else None
    if context.settings.lake:
        bucket, _, prefix = context.settings.lake.removeprefix("s3://").partition("/")
        client = boto3.client("s3")
        body = BytesIO()
        pq.write_table(rows, body)
        for _ in range(2):
            client.put_object(Bucket=bucket, Key=f"exports/dt={DAYS[1]}/rows.parquet", Body=body.getvalue())
        client.delete_object(Bucket=bucket, Key=f"exports/dt={DAYS[1]}/rows.parquet")
        key = f"{prefix}/engagement/dt={DAYS[2]}/part-9.parquet"
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=body.getvalue())


def plant_in_landing(context: Context) -> None:
    """Rows in forms that nobody can look into, dated or not; and rows of days that go among others that stay."""
    landing, rows = context.settings.landing_path, raw_rows(DAYS[0])
    dated, loose = landing / f"dt={DAYS[1]}" / "export.zip", landing / "exports" / "rows.pickle"
    loose.parent.mkdir()
    with zipfile.ZipFile(dated, "w") as archive:
        archive.writestr("rows.txt", json.dumps(rows.to_pylist()))
    loose.write_bytes(pickle.dumps(rows.to_pylist()))
    written = datetime(DAYS[0].year, DAYS[0].month, DAYS[0].day, tzinfo=UTC).timestamp()
    os.utime(loose, (written, written))
    with sqlite3.connect(landing / f"dt={DAYS[2]}" / "rows.db") as database:
        database.execute("create table rows (event_id)")
        database.executemany("insert into rows values (?)", [(name,) for name in rows["event_id"].to_pylist()])
    database.close()
    mixed = pa.concat_tables([rows, raw_rows(DAYS[7])])
    orc.write_table(rows, str(landing / f"dt={DAYS[3]}" / "rows.orc"))
    with pa.ipc.new_file(str(landing / f"dt={DAYS[7]}" / "late.arrow"), mixed.schema) as writer:
        writer.write_table(mixed)
    lines = [",".join(mixed.column_names), *(",".join(map(str, row.values())) for row in mixed.to_pylist())]
    text = "\n".join(lines).replace("0.", "\u00e9.", 20)
    (landing / f"dt={DAYS[7]}" / "late.csv").write_bytes(text.encode("latin-1"))


def everything(context: Context) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file beside and below home, and of every version and part in the bucket."""
    for path in context.settings.home.parent.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    if context.settings.lake:
        bucket = context.settings.lake.removeprefix("s3://").partition("/")[0]
        client = boto3.client("s3")
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for version in page.get("Versions", ()):
                found = client.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
                yield f"{version['Key']}@{version['VersionId']}", found["Body"].read()
        uploads = client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())
        for upload in uploads:
            yield f"upload of {upload['Key']}", canary(DAYS[2], "home").encode()


def text_of(content: bytes) -> bytes:
    """The bytes, and what a reader of their format would see."""
    if content.startswith(b"PAR1"):
        table = pq.read_table(BytesIO(content))
        return content + json.dumps(table.to_pylist(), default=str).encode()
    if content.startswith(b"ORC"):
        return content + json.dumps(orc.read_table(pa.BufferReader(content)).to_pylist(), default=str).encode()
    return content + gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def found_in(context: Context) -> dict[str, list[str]]:
    """Canary -> where it is."""
    canaries = [canary(day, view_type) for day in DAYS for view_type in ("home", "search")]
    found: dict[str, list[str]] = {}
    for name, content in everything(context):
        text = text_of(content)
        for each in canaries:
            if each.encode() in text:
                found.setdefault(each, []).append(name)
    return found


def test_no_planted_string_of_an_expired_row_is_left_anywhere(context):
    for day in DAYS:
        load(context, day)
    version = run_the_loop(context)
    plant_copies(context, version)
    plant_in_landing(context)
    before = found_in(context)
    assert all(len(before[canary(day, name)]) >= 2 for day in DAYS for name in ("home", "search"))
    assert len(before[canary(DAYS[0], "home")]) >= 14

    planned = retention_plan_step(context, AS_OF, AS_OF)
    assert {model["version"] for model in planned["models"]} == {"1", version}
    retention_apply_step(context, AS_OF, AS_OF, confirmed_by=None, dry_run=False)

    left = found_in(context)
    gone = [canary(day, "home") for day in EXPIRE] + [canary(day, "search") for day in SEARCH]
    assert {name: places for name, places in left.items() if name in gone} == {}
    kept = [canary(day, "home") for day in DAYS[4:]] + [canary(day, "search") for day in DAYS[6:]]
    assert {name for name in kept if name not in left} == set()
    assert published_days(context.store) == DAYS[4:]
    landed = {path.name for path in (context.settings.landing_path / f"dt={DAYS[7]}").iterdir()}
    assert landed == {"rows.jsonl.gz", "late.arrow", "late.csv"}
    assert retention_audit_step(context, AS_OF)["readable_behind_horizon"] == 0
