"""The promotions list: filters, pages, comparison of versions, and the way to MLflow."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from statistics import median

import pytest
from fastapi.testclient import TestClient
from test_web_pages import words

from mmoe.evaluate.monitor import Alarm, Watch
from mmoe.registry.monitored import Monitored
from mmoe.registry.records import PromotionRecord, Records
from mmoe.settings import Settings
from mmoe.web import build_app

Write = Callable[..., None]


@pytest.fixture
def three(write_report: Write, write_records: Write) -> None:
    """r2 passed and was promoted; r3 failed and was overridden; r4 is an inconclusive daily update."""
    write_report("r2", version="2")
    write_report("r3", version="3", verdict="fail")
    write_report("r4", version="4", verdict="inconclusive", kind="incremental", source_run="asset__9")
    write_records()


def shown(client: TestClient, query: str) -> set[str]:
    text = client.get(f"/promotions?{query}").text
    return {report for report in ("r2", "r3", "r4") if f"Report {report}" in text}


@pytest.mark.usefixtures("three")
def test_each_filter_keeps_what_it_says(client: TestClient, settings: Settings) -> None:
    overridden = Records(settings).read()[1].model_copy(update={"number": 4, "version": "3", "report": "r3"})
    Records(settings).write(overridden)
    assert shown(client, "") == {"r2", "r3", "r4"}
    assert shown(client, "verdict=fail") == {"r3"}
    assert shown(client, "kind=incremental") == {"r4"}
    assert shown(client, "decision=promoted") == {"r2"}
    assert shown(client, "decision=overridden") == {"r3"}
    assert shown(client, "decision=not+promoted") == {"r4"}
    assert shown(client, "text=ASSET__9") == {"r4"}
    assert shown(client, "text=version+3") == {"r3"}
    assert shown(client, "verdict=pass&kind=incremental") == set()
    assert "None of 3 reports matches" in words(client.get("/promotions?text=nothing").text)


@pytest.mark.usefixtures("three")
def test_a_filter_is_shown_back_escaped(client: TestClient) -> None:
    html = client.get('/promotions?text="><script>&verdict=fail').text
    assert "<script" not in html
    assert "<option selected>fail</option>" in html


def test_500_versions_take_less_than_a_second_of_processor_time(
    client: TestClient, settings: Settings, write_report: Write, write_version: Write, monitor: Write
) -> None:
    first = PromotionRecord(
        number=1, kind="bootstrap", state="done", version="1", digest="a" * 64, replaces=None, previous_before=None,
        previous_after=None, actor="ada", reason="first", report=None, at=datetime(2026, 3, 1, tzinfo=UTC),
    )  # fmt: skip
    for number in range(1, 501):
        write_report(f"r{number}", version=str(number))
        write_version(str(number))
        monitor(date(2025, 1, 1) + timedelta(days=number), version=str(number))
        change = {"number": number, "version": str(number), "kind": "promotion" if number > 1 else "bootstrap"}
        Records(settings).write(first.model_copy(update=change))
    times = []
    for path in ("/promotions", "/promotions?number=10&verdict=pass", "/monitoring", "/compare?a=1&b=500") * 2:
        started = time.process_time()
        assert client.get(path).status_code == 200, path
        times.append(time.process_time() - started)
    assert median(times) < 1.0, times
    text = words(client.get("/promotions?number=10").text)
    assert "500 of 500 reports, page 10 of 10" in text
    assert "485 earlier changes" in text
    assert client.get("/promotions?number=10").text.count('name="a"') == 50


def test_two_versions_of_one_report_are_compared_on_its_rows(
    client: TestClient, write_report: Write, write_version: Write, write_records: Write
) -> None:
    write_records()
    write_report("r2", version="2", baseline_version="1")
    write_version("1", stage="bootstrap", config={"model": {"embedding_dim": 8, "experts": ["dcnv2"]}, "seed": 1})
    write_version("2", config={"model": {"embedding_dim": 16, "experts": ["dcnv2"]}, "seed": 1}, parent="1")
    text = words(client.get("/compare?a=1&b=2").text)
    assert "compares them on the same rows: pass , version 2 +0.42% (+0.31% to +0.53%)" in text
    assert "model.embedding_dim 8 16" in text
    assert "seed" not in text
    assert "bootstrap batch, from version 1" in text


def test_what_each_did_as_champion_stands_in_one_table_by_day(
    client: TestClient, write_version: Write, monitor: Write
) -> None:
    write_version("2")
    write_version("3")
    monitor(date(2026, 3, 3), auc=0.71)
    monitor(date(2026, 3, 4), auc=0.69, version="3", calibration=1.3)
    text = words(client.get("/compare?a=2&b=3").text)
    assert "2026-03-04 3 0.6900 1.300 - - 2026-03-03 2 0.7100 1.000 - -" in text


def test_versions_without_a_common_report_are_not_said_to_be_comparable(
    client: TestClient, write_version: Write
) -> None:
    write_version("1")
    write_version("2")
    text = words(client.get("/compare?a=1&b=2").text)
    assert "No report compares these two on the same rows" in text
    assert "Nothing differs." in text


@pytest.mark.parametrize("query", ["", "a=1", "a=1&b=1", "a=1&b=99", "a=<b>&b=1"])
def test_a_comparison_needs_two_known_versions(client: TestClient, write_version: Write, query: str) -> None:
    write_version("1")
    assert client.get(f"/compare?{query}").status_code == 404


def test_the_champions_auc_by_day_is_drawn_and_alarms_come_first(
    client: TestClient, settings: Settings, monitor: Write
) -> None:
    for number, auc in enumerate((0.71, 0.72, 0.705)):
        monitor(date(2026, 3, 3 + number), auc=auc)
    alarm = Alarm(rule="stale champion", day=date(2026, 3, 9), text="the champion has learned nothing since 2026-03-02")
    Monitored(settings).write_watch(Watch(as_of=date(2026, 3, 9), alarms=(alarm,)))
    html = client.get("/promotions").text
    assert "Champion&#39;s AUC of click by day, 2026-03-03 to 2026-03-05, last 0.7050" in html
    assert "AUC of save" not in html
    assert words(html).index("1 alarm on 2026-03-09") < words(html).index("Reports")


def test_monitoring_shows_auc_calibration_and_drift_by_day_newest_first(client: TestClient, monitor: Write) -> None:
    monitor(date(2026, 3, 3), auc=0.71)
    monitor(date(2026, 3, 4), auc=0.69, version="3", calibration=1.3)
    text = words(client.get("/monitoring").text)
    newest = "2026-03-04 3 2026-03-02 1 000 click 200 0.6900 0.4000 0.9000 1.300 0.000"
    assert text.index(newest) < text.index("2026-03-03 2 2026-03-02 1 000 click 200 0.7100 0.4000 0.9000 1.000 -")
    assert "Nobody has looked yet" in text


def test_the_way_to_mlflow_is_the_configured_address_and_only_runs(settings: Settings) -> None:
    known = settings.model_copy(update={"mlflow_url": "http://mlflow.example:5000/"})
    client = TestClient(build_app(lambda: known), follow_redirects=False)
    assert client.get(f"/mlflow/{'a' * 32}").headers["location"] == f"http://mlflow.example:5000/#/runs/{'a' * 32}"
    assert client.get("/mlflow/..%2f..%2fevil").status_code == 404
    unknown = TestClient(build_app(lambda: settings))
    assert "set MMOE_MLFLOW_URL" in unknown.get(f"/mlflow/{'a' * 32}").text
