"""The page of a day, over HTTP, from a lake that the real steps wrote."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from handmade import DAY, SCHEMA, deliver, raw_rows, replaced

from mmoe.lake.horizon import Horizon, advance_horizon
from mmoe.lake.ingest import stage_day
from mmoe.lake.publish import publish
from mmoe.lake.quarantine import quarantine, release, with_release
from mmoe.lake.reader import trailing_manifests
from mmoe.lake.store import Store, open_store
from mmoe.quality import validate, verify_partition
from mmoe.settings import Settings
from mmoe.web import build_app

WARNED, BROKEN, RELEASED = (DAY + timedelta(days=number) for number in (1, 2, 3))


def run_day(store: Store, landing: Path, day, raw: pa.Table) -> None:
    deliver(landing, raw, day=day)
    staged = stage_day(store, landing, SCHEMA, day)
    found = validate(store, staged, SCHEMA, trailing_manifests(store, day))
    if found.status == "failed":
        quarantine(store, staged, found)
        if day != RELEASED:
            return
        release(store, day, actor="<b>ada</b>", reason="a known outage", at=datetime(2026, 3, 14, 8, tzinfo=UTC))
    manifest = publish(store, staged, with_release(store, day, found), SCHEMA)
    verify_partition(store, SCHEMA, manifest)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Four clean days, then one that warns, one in quarantine and one that was released."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    store, landing = open_store(settings.lake_url), settings.landing_path
    for number in range(-3, 1):
        day = DAY + timedelta(days=number)
        run_day(store, landing, day, raw_rows(day, rows=1_000, seed=number + 10))
    dearer = raw_rows(WARNED, rows=1_000, seed=20)
    prices = [None if price is None else price * 1.8 for price in dearer["price"].to_pylist()]
    dearer = replaced(dearer, "price", pa.array(prices))
    run_day(store, landing, WARNED, dearer.append_column("<b>coupon", pa.array(["secret"] * 1_000)))
    for day in (BROKEN, RELEASED):
        broken = raw_rows(day, rows=1_000, seed=30)
        clicks = np.array(broken["click"].to_pylist(), np.int8)
        clicks[:5] = 2
        run_day(store, landing, day, replaced(broken, "click", pa.array(clicks)))
    return settings


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(build_app(lambda: settings), raise_server_exceptions=False) as client:
        yield client


def words(html: str) -> str:
    html = html.replace("\N{NARROW NO-BREAK SPACE}", " ").replace("\N{EN DASH}", "-")
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S))


def test_a_clean_day_shows_every_expectation_and_the_days_before(client: TestClient) -> None:
    text = words(client.get(f"/data/{DAY}").text)
    assert f"{DAY} published 1 000 rows in 1 file" in text
    assert "Suite handmade" in text
    assert "bounds from 3 days since 2026-03-07" in text
    assert "The partition, read again as published" in text
    assert "that did not hold" not in text
    assert re.search(r"held critical click all column mean to be between 0\.\d+ 0\.\d+ to 0\.\d+", text)
    assert "rows 1 000" in text
    assert re.search(r"click rate \d+\.\d%", text)


def test_drift_is_shown_by_feature_and_view_type(client: TestClient) -> None:
    html = client.get(f"/data/{WARNED}").text
    text = words(html)
    assert "Feature all rows home search" in text
    assert "price: column_psi_to_be_between: 0." in text
    assert re.search(r'<th scope="row">price</th><td class="number warning">0\.\d+</td>', html)
    assert re.search(r'<th scope="row">device</th><td class="number ">0\.0\d+</td>', html)
    assert "Warnings that every report on this day repeats" in text


def test_new_columns_are_a_warning_and_all_columns_are_listed_as_they_came(client: TestClient) -> None:
    html = client.get(f"/data/{WARNED}").text
    text = words(html)
    assert "repeats source_columns_to_be_known: &lt;b&gt;coupon" in text
    assert "failed warning - all source columns to be known &lt;b&gt;coupon" in text
    assert "13 columns of rows, as they came" in text
    assert "ad_id int32" in text
    assert "secret" not in html


def test_a_quarantined_day_says_why_and_how_to_go_on(client: TestClient) -> None:
    text = words(client.get(f"/data/{BROKEN}").text)
    assert f"{BROKEN} quarantined Nothing is published for this day" in text
    assert "In quarantine: click: column_values_to_be_in_set: 5 of 1000 rows" in text
    assert f"mmoe quarantine release --date {BROKEN} --actor WHO --reason WHY" in text
    assert "1 that did not hold" in text  # a column that only the day before had is not missed


def test_a_released_day_says_who_why_and_over_what(client: TestClient) -> None:
    html = client.get(f"/data/{RELEASED}").text
    text = words(html)
    assert f"{RELEASED} released 995 rows" in text
    assert "released from quarantine by &lt;b&gt;ada&lt;/b&gt;: a known outage" in text
    assert "a known outage over click: column_values_to_be_in_set: 5 of 1000 rows" in text
    assert "2026-03-14 08:00 UTC" in text
    assert "<b>ada" not in html


@pytest.mark.parametrize("day", ["2020-01-01", "nothing", "2026-13-45", "%2e%2e"])
def test_a_day_that_the_lake_does_not_know_is_not_found(client: TestClient, day: str) -> None:
    assert client.get(f"/data/{day}").status_code == 404


def test_the_page_needs_no_script_and_nothing_from_elsewhere(client: TestClient) -> None:
    html = client.get(f"/data/{RELEASED}").text
    assert "<script" not in html
    assert "src=" not in html
    assert [link for link in re.findall(r'href="([^"]*)"', html) if not link.startswith("../")] == []


def test_the_data_page_leads_to_each_day(client: TestClient) -> None:
    assert f'href="data/{DAY}"' in client.get("/data").text


def test_a_day_behind_the_horizon_shows_nothing_of_it(settings: Settings, client: TestClient) -> None:
    advance_horizon(open_store(settings.lake_url), Horizon(day=RELEASED))
    assert client.get(f"/data/{BROKEN}").status_code == 404
