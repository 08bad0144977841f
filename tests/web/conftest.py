"""A home with a lake, promotion records and reports, written through the formats that the pipeline writes."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mmoe.lake import ledger
from mmoe.lake.holds import hold
from mmoe.lake.horizon import advance_horizon
from mmoe.lake.ledger import Expired, Statement
from mmoe.lake.manifest import DataFile, Failure, LabelCount, Manifest, Validation, to_json
from mmoe.lake.partitions import manifest_key, quarantine_prefix
from mmoe.lake.publish import QuarantineRecord
from mmoe.lake.store import Store, open_store
from mmoe.registry.records import PromotionRecord, Records
from mmoe.settings import Settings
from mmoe.web import build_app


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, registered_model="test_model")


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings.lake_url)


@pytest.fixture
def client(settings: Settings) -> TestClient:
    return TestClient(build_app(lambda: settings), raise_server_exceptions=False)


@pytest.fixture
def write_report(settings: Settings) -> Callable[..., None]:
    """write_report("id", verdict="pass", …) as the report step does."""

    def write(report: str, **content: Any) -> None:
        folder = settings.reports / report
        folder.mkdir(parents=True)
        lifts = [
            {"head": "click", "view_type": None, "lift": 0.5, "low": 0.4, "high": 0.6},
            {"head": None, "view_type": None, "lift": 0.0042, "low": 0.0031, "high": 0.0053},
        ]
        gate = {"verdict": content.pop("verdict", "pass"), "lifts": lifts}
        (folder / "report.html").write_text(f"<!doctype html><title>{report}</title>")
        (folder / "report.json").write_text(json.dumps({"title": f"Report {report}", "gate": gate, **content}))

    return write


@pytest.fixture
def full_lake(store: Store) -> None:
    """1 March expired, 2 held, 3 published, 4 missing, 5 quarantined, 6 published with a warning."""
    item = Expired(kind="engagement", day=date(2026, 3, 1), files=2, bytes=2_500_000, rows=40_000, digest="d" * 64)
    ledger.append(store, Statement(kind="expired", as_of=date(2026, 3, 17), horizon=date(2026, 3, 3), items=(item,)))
    hold(store, date(2026, 3, 2), "case 17")
    advance_horizon(store, date(2026, 3, 3))
    warning = Failure(expectation="row count", severity="warning", detail="half of the days before")
    for day, failures in ((date(2026, 3, 3), ()), (date(2026, 3, 6), (warning,))):
        store.write_bytes(manifest_key(day), to_json(make_manifest(day, failures)))
    record = QuarantineRecord(
        day=date(2026, 3, 5), reason="click: values outside {0, 1} (12 rows)", sources=(), counts={}, rows=0,
        problems=(), validation=Validation(status="failed", subject="s", checks=9),
    )  # fmt: skip
    store.write_bytes(quarantine_prefix(record.day) + "a.json", to_json(record))


def make_manifest(day: date, failures: tuple[Failure, ...]) -> Manifest:
    status = "warned" if failures else "passed"
    return Manifest(
        day=day, files=(DataFile(name="part-0.parquet", rows=41_234, bytes=3_200_000, sha256="f" * 64),),
        schema_name="ads", schema_fingerprint="a" * 64, sources=(), counts={"duplicates": 1500}, nulls={},
        labels={
            "click": LabelCount(positives=1, negatives=3, nulls=0),
            "save": LabelCount(positives=0, negatives=0, nulls=9),
        },
        view_type_rows={}, validation=Validation(status=status, subject="s", checks=31, failures=failures),
    )  # fmt: skip


@pytest.fixture
def write_records(settings: Settings) -> Callable[..., None]:
    """A bootstrap of version 1, and the promotion of version 2 from report "r2"."""

    def write() -> None:
        first = PromotionRecord(
            number=1, kind="bootstrap", state="done", version="1", digest="a" * 64, replaces=None,
            previous_before=None, previous_after=None, actor="ada", reason="first champion", report=None,
            at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        )  # fmt: skip
        second = first.model_copy(
            update={
                "number": 2,
                "kind": "promotion",
                "version": "2",
                "replaces": "1",
                "actor": "<b>bob</b>",
                "report": "r2",
            }
        )
        undone = second.model_copy(update={"number": 3, "state": "undone", "version": "9"})
        for record in (first, second, undone):
            Records(settings).write(record)

    return write
