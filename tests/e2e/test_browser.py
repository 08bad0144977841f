"""The stack as a person meets it, in headless Chromium."""

import contextlib
import shutil
from pathlib import Path

import httpx
import pytest
from e2e_support import processes_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium on the PATH"),
]

LISTENING, LOOPBACK = "0A", "0100007F:"
PATIENCE = 120


@pytest.fixture
def page(browser, served):
    """A page logged in as `operator`, and the errors its console shows."""
    url, _, passwords = served
    page = browser.new_page(base_url=url, viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE * 1000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto("/")
    page.fill("input[name=username]", "operator")
    page.fill("input[name=password]", passwords["operator"])
    page.click("button[type=submit]")
    page.wait_for_url(lambda address: "login" not in address)
    yield page
    page.close()


def test_a_person_logs_in_and_sees_the_dags(page):
    page.goto("/dags")
    for name in ("Engagement ingest", "Retention", "Batch training", "Incremental training", "Monitoring", "Rollback"):
        page.get_by_text(name, exact=True).first.wait_for()
    assert page.errors == []


def test_the_promotions_page_is_in_the_navigation_and_leads_to_the_report(page, demo):
    page.goto("/")
    page.get_by_text("Model promotions").first.click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="Batch training through").first.click()
    frame.get_by_role("heading", name=f"against version {demo.summary['baseline_version']}").wait_for()
    assert frame.locator("svg").count() > 5
    assert page.errors == []


def test_the_data_page_shows_published_quarantined_and_expired_days(page):
    page.goto("/")
    page.get_by_text("Data", exact=True).first.click()
    frame = page.frame_locator("iframe")
    for status in ("published", "quarantined", "expired"):
        frame.get_by_text(status).first.wait_for()


def test_anonymous_visitors_get_nothing_from_the_pages(served, demo):
    url, _, _ = served
    report = demo.summary["report_path"].split("/")[-2]
    for path in ("/mmoe/promotions", "/mmoe/data", f"/mmoe/reports/{report}"):
        assert httpx.get(url + path, follow_redirects=False, timeout=PATIENCE).status_code == 401, path


def test_nothing_listens_beyond_this_machine(served, demo):
    inodes = {
        fields[9]: fields[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in map(str.split, Path(table).read_text().splitlines()[1:])
        if fields[3] == LISTENING
    }
    for pid in processes_of(demo.home):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inode = descriptor.readlink().name.removeprefix("socket:[").rstrip("]")
                assert inodes.get(inode, LOOPBACK).startswith(LOOPBACK), (pid, inodes[inode])


def test_mlflow_serves_the_promoted_version(served, demo):
    _, mlflow, _ = served
    alias = {"name": "ads_engagement", "alias": "champion"}
    found = httpx.get(f"{mlflow}/api/2.0/mlflow/registered-models/alias", params=alias, timeout=PATIENCE).json()
    assert found["model_version"]["version"] == demo.summary["champion"]["version"]
