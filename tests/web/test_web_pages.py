"""The pages, over HTTP."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date

import pytest
from fastapi import Depends, HTTPException
from fastapi.testclient import TestClient

from mmoe.lake.offers import offer
from mmoe.lake.partitions import manifest_key
from mmoe.lake.store import Store
from mmoe.registry.records import Records
from mmoe.settings import Settings
from mmoe.web import Guards, build_app
from mmoe.web.lake_page import read_lake

Write = Callable[..., None]
PAGES = [
    "/promotions",
    "/monitoring",
    "/compare?a=1&b=2",
    "/mlflow/0123456789abcdef0123456789abcdef",
    "/data",
    "/retention",
    "/reports/r2",
    "/reports/r2/report.json",
    "/runs/batch_training/run-2",
    "/nowhere",
    "/",
]


def words(html: str) -> str:
    """The text of a page as one line, with plain spaces and dashes."""
    html = html.replace("\N{NARROW NO-BREAK SPACE}", " ").replace("\N{EN DASH}", "-")
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S))


def test_an_empty_home_has_pages_that_say_what_to_do(client: TestClient) -> None:
    assert "the bootstrap DAG installs the first one" in client.get("/promotions").text
    assert "No report yet" in client.get("/promotions").text
    assert "The lake is empty" in client.get("/data").text


def test_the_start_leads_to_the_promotions(client: TestClient) -> None:
    assert client.get("/").url.path == "/promotions"


def test_a_report_is_listed_with_verdict_lift_and_decision(
    client: TestClient, write_report: Write, write_records: Write
) -> None:
    write_report("r2", version="2", baseline_version="1")
    write_report("r3", version="3", baseline_version="2", verdict="inconclusive")
    write_records()
    text = words(client.get("/promotions").text)
    assert "2 champion Report r2 lift · MLflow pass +0.42% +0.31% to +0.53% 1 promoted by" in text
    assert "3 Report r3 lift · MLflow inconclusive +0.42% +0.31% to +0.53% 2 not promoted" in text
    assert "Version 2 champion" in text
    assert 'href="reports/r2"' in client.get("/promotions").text


def test_changes_of_the_champion_are_listed_newest_first_without_undone_ones(
    client: TestClient, write_records: Write
) -> None:
    write_records()
    text = words(client.get("/promotions").text)
    assert text.index("promotion 1 2 aaaaaaaaaaaa") < text.index("bootstrap - 1 aaaaaaaaaaaa")
    assert " 9 " not in text


def test_what_a_person_wrote_is_escaped(client: TestClient, write_records: Write) -> None:
    write_records()
    html = client.get("/promotions").text
    assert "&lt;b&gt;bob&lt;/b&gt;" in html
    assert "<b>bob" not in html


def test_a_report_and_its_data_are_served(client: TestClient, write_report: Write) -> None:
    write_report("r2")
    assert client.get("/reports/r2").text == "<!doctype html><title>r2</title>"
    assert client.get("/reports/r2/report.json").json()["title"] == "Report r2"


def test_a_run_shows_the_report_it_wrote(client: TestClient, write_report: Write) -> None:
    write_report("r2", source_run="scheduled__2026-03-01T00:00:00+00:00")
    found = client.get("/runs/batch_training/scheduled__2026-03-01T00%3A00%3A00%2B00%3A00")
    assert "<title>r2</title>" in found.text
    waiting = client.get("/runs/batch_training/manual__1")
    assert waiting.status_code == 200
    assert "No report yet" in waiting.text


@pytest.mark.parametrize(
    "name", ["%2e%2e", "..%2f..%2fsecret", "%2fetc%2fpasswd", "link", ".hidden", "a\\b", "a%00b", "absent"]
)
def test_no_name_leads_out_of_the_reports(
    client: TestClient, settings: Settings, write_report: Write, name: str
) -> None:
    write_report("r2")
    outside = settings.home / "secret"
    outside.mkdir()
    for folder in (outside, settings.home):
        (folder / "report.html").write_text("secret")
    (settings.reports / "link").symlink_to(outside)
    (settings.reports / ".hidden").mkdir()
    (settings.reports / ".hidden" / "report.html").write_text("secret")
    answer = client.get(f"/reports/{name}")
    assert answer.status_code == 404
    assert "secret" not in words(answer.text).replace(name, "")


def test_half_written_and_foreign_reports_are_left_out(
    client: TestClient, settings: Settings, write_report: Write
) -> None:
    write_report("good")
    for name, content in (("empty", ""), ("list", "[]"), ("cut", '{"title": "Rep')):
        (settings.reports / name).mkdir()
        (settings.reports / name / "summary.json").write_text(content)
    (settings.reports / "bare.txt").write_text("")
    text = words(client.get("/promotions").text)
    assert "1 reports" in text
    assert "Report good" in text


def test_every_answer_forbids_scripts_frames_elsewhere_and_caching(client: TestClient, write_report: Write) -> None:
    write_report("r2")
    for path in (*PAGES, "/reports/absent"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "frame-ancestors 'self'" in headers["content-security-policy"], path
        assert headers["cache-control"] == "no-store", path


def test_there_is_no_api_description(client: TestClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


def test_a_guard_covers_every_address(settings: Settings, write_report: Write) -> None:
    write_report("r2", source_run="run-2")

    def refuse() -> None:
        raise HTTPException(401)

    guards = Guards(promotions=[Depends(refuse)], runs=[Depends(refuse)], data=[Depends(refuse)])
    guarded = TestClient(build_app(lambda: settings, guards))
    assert {path: guarded.get(path).status_code for path in PAGES} == dict.fromkeys(PAGES, 401)


@pytest.mark.usefixtures("full_lake")
def test_the_data_page_shows_what_became_of_every_day(client: TestClient, settings: Settings) -> None:
    states = {str(day.day)[-2:]: day.status for day in read_lake(settings).days}
    assert states == {
        "06": "published", "05": "quarantined", "04": "missing", "03": "published", "02": "held", "01": "expired",
    }  # fmt: skip
    text = words(client.get("/data").text)
    assert "2 days published 82 468 rows, 6.4 MB" in text
    assert "2026-03-06 published 41 234 3.2 MB warned 31 checks 25.0% - row count: half of the days before" in text
    assert "2026-03-05 quarantined - - - - - click: values outside {0, 1} (12 rows)" in text
    assert "2026-03-01 expired 40 000 2.5 MB - - - deleted with 2 files; was dddddddddddd" in text
    assert "2 ledger entries, chain whole" in text
    assert "case 17" not in text


@pytest.mark.usefixtures("full_lake")
def test_a_backfilled_day_that_no_champion_has_learned_is_listed(client: TestClient, store: Store) -> None:
    assert "not learned by a champion" not in words(client.get("/data").text)
    offer(store, date(2026, 3, 3), "backfill__2026-03-03")
    text = words(client.get("/data").text)
    assert "Backfilled, not learned by a champion" in text
    assert "by backfill__2026-03-03" in text
    store.write_bytes(manifest_key(date(2026, 3, 3)), b"{")
    assert "not learned by a champion" not in words(client.get("/data").text)


@pytest.mark.usefixtures("full_lake")
def test_damage_is_shown_and_hides_nothing_else(client: TestClient, store: Store) -> None:
    key = manifest_key(next(day.day for day in read_lake_of(store) if day.status == "published"))
    store.write_bytes(key, b"{")
    chain = (store.read_bytes("_retention/ledger.jsonl") or b"").replace(b'"files": 2', b'"files": 1')
    store.write_bytes("_retention/ledger.jsonl", chain)
    text = words(client.get("/data").text)
    assert "damaged" in text
    assert "The object is damaged; ingest the day again" in text
    assert "Entry 0 is not what its hash says" in text
    assert "2026-03-03 published" in text


def read_lake_of(store: Store):  # type: ignore[no-untyped-def]
    return read_lake(Settings(lake=str(store.root))).days  # type: ignore[attr-defined]


def test_an_error_becomes_a_page_that_says_what_to_do(client: TestClient, settings: Settings) -> None:
    Records(settings).folder.mkdir(parents=True)
    (Records(settings).folder / "000001.json").write_text("{}")
    answer = client.get("/promotions")
    assert answer.status_code == 500
    assert "Restore the record from a backup" in answer.text


def test_settings_are_read_at_every_request(tmp_path: object, settings: Settings) -> None:
    names = iter(["first_model", "second_model"])
    client = TestClient(build_app(lambda: settings.model_copy(update={"registered_model": next(names)})))
    assert ["first_model" in client.get("/promotions").text, "second_model" in client.get("/promotions").text] == [
        True, True,
    ]  # fmt: skip


def test_the_pages_load_neither_mlflow_nor_torch_nor_airflow() -> None:
    script = "import sys, mmoe.web; sys.exit(bool({'mlflow', 'torch', 'airflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], env=dict(os.environ)).returncode == 0
