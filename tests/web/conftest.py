"""A home with a lake, promotion records and reports, written through the formats that the pipeline writes."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mmoe.evaluate.metrics import HeadMetrics
from mmoe.evaluate.monitor import EDGES, MonitoredDay
from mmoe.evaluate.verdict import Lift
from mmoe.lake import ledger
from mmoe.lake.holds import Hold, add_hold
from mmoe.lake.horizon import Horizon, advance_horizon
from mmoe.lake.ledger import Expired, Statement
from mmoe.lake.manifest import DataFile, Failure, LabelCount, Manifest, Validation, to_json
from mmoe.lake.partitions import manifest_key, quarantine_prefix
from mmoe.lake.quarantine import QuarantineRecord
from mmoe.lake.store import Store, open_store
from mmoe.registry.monitored import Monitored
from mmoe.registry.records import PromotionRecord, Records, VersionRecord, VersionRecords
from mmoe.report.data import ReportSummary
from mmoe.settings import Settings
from mmoe.web import build_app


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, registered_model="test_model")


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings.lake_url, settings.cache_path)


@pytest.fixture
def client(settings: Settings) -> TestClient:
    return TestClient(build_app(lambda: settings), raise_server_exceptions=False)


@pytest.fixture
def write_report(settings: Settings) -> Callable[..., None]:
    """write_report("id", verdict="pass", …) leaves what the report step leaves for the list."""

    def write(report: str, **changes: Any) -> None:
        folder = settings.reports / report
        folder.mkdir(parents=True)
        lift = Lift(
            head=None, champion_auc=0.7, challenger_auc=0.703, lift=0.0042, low=0.0031, high=0.0053,
            rows=100, positives=9,
        )  # fmt: skip
        content: dict[str, Any] = {
            "title": f"Report {report}", "kind": "batch", "verdict": "pass", "profile": "lift", "version": "2",
            "digest": "a" * 64, "baseline_version": "1", "champion_version": "1", "days": (date(2026, 3, 2),),
            "overall": lift, "source_run": f"run-{report}", "run_id": "f" * 32,
        }  # fmt: skip
        summary = ReportSummary(report=report, **(content | changes))
        (folder / "summary.json").write_text(summary.model_dump_json())
        (folder / "report.html").write_text(f"<!doctype html><title>{report}</title>")
        (folder / "report.json").write_text(json.dumps({"title": summary.title}))

    return write


@pytest.fixture
def write_version(settings: Settings) -> Callable[..., None]:
    """write_version("2", config={…}) leaves what the registration of a version leaves."""

    def write(version: str, **changes: Any) -> None:
        content: dict[str, Any] = {
            "run_id": "f" * 32, "digest": "a" * 64, "line": "line", "stage": "batch", "first_day": date(2026, 3, 1),
            "trained_through": date(2026, 3, 2), "days": 2, "parent": None, "baseline": None, "teacher": None,
            "plan": "plan", "config": {},
        }  # fmt: skip
        VersionRecords(settings).write(VersionRecord(version=version, **(content | changes)))

    return write


@pytest.fixture
def monitor(settings: Settings) -> Callable[..., None]:
    """monitor(date, auc=…, version=…) leaves a monitored day with the heads click and save; save is not final."""

    def write(day: date, *, auc: float = 0.7, version: str = "2", calibration: float = 1.0) -> None:
        click = HeadMetrics(
            head="click", rows=1000, positives=200, auc=auc, pr_auc=0.3, log_loss=0.4,
            normalised_entropy=0.9, calibration=calibration,
        )  # fmt: skip
        unknown = dict.fromkeys(("auc", "pr_auc", "log_loss", "normalised_entropy", "calibration"))
        save = HeadMetrics(head="save", rows=0, positives=0, **unknown)
        counts = (1000, *[0] * len(EDGES))
        Monitored(settings).write(
            MonitoredDay(
                day=day, version=version, digest="a" * 64, partition="p" * 64, learned_through=date(2026, 3, 2),
                rows=1000, metrics=(click, save), histograms={"click": counts, "save": counts},
            )
        )  # fmt: skip

    return write


@pytest.fixture
def full_lake(store: Store) -> None:
    """1 March expired, 2 held, 3 published, 4 missing, 5 quarantined, 6 published with a warning."""
    item = Expired(kind="engagement", day=date(2026, 3, 1), files=2, bytes=2_500_000, rows=40_000, digest="d" * 64)
    ledger.append(store, Statement(kind="expired", as_of=date(2026, 3, 17), horizon=date(2026, 3, 3), items=(item,)))
    held = Hold(
        first=date(2026, 3, 2), last=date(2026, 3, 2), owner="<i>legal</i>", reason="case 17",
        until=date(2026, 6, 30), added_by="ada",
    )  # fmt: skip
    add_hold(store, held)
    advance_horizon(store, Horizon(day=date(2026, 3, 3), view_types={"search": date(2026, 3, 6)}))
    warning = Failure(expectation="row count", severity="warning", detail="half of the days before")
    for day, failures in ((held.first, ()), (date(2026, 3, 3), ()), (date(2026, 3, 6), (warning,))):
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


sys.path.append(str(Path(__file__).parents[1] / "lake"))  # for handmade.py
