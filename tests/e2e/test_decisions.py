"""Deciding in the browser: reject, an override that a role refuses, an override that it allows, and the rollback."""

import os
import shutil
import time
from pathlib import Path

import pytest

from mmoe.demo.airflow_api import Airflow, wait_until
from mmoe.registry import Records
from mmoe.settings import Settings

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium on the PATH"),
]

PAGES = ("promotions", "monitoring", "data", "retention", "compare?a=1&b=2", "rollback")
AXE = Path(os.environ.get("AXE_CORE", "var/axe/node_modules/axe-core/axe.min.js"))
LONGEST = 900
PATIENCE_MS = 120_000
"""A page of Airflow's own takes long while its scheduler starts tasks on the same two cores."""
SMALL_RUN = {"train_days": 1, "catch_up_days": 0, "holdout_days": 1, "distillation": "off"}
"""One day of training: the model is not better, and the second run of the same plan takes up all its work."""


@pytest.fixture
def log_in(browser, served):
    """log_in("operator") -> a page, and the errors that its console shows from then on."""
    url, _, passwords = served
    contexts = []

    def log_in(user):
        context = browser.new_context(base_url=url, viewport={"width": 1400, "height": 1000}, bypass_csp=True)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto("/")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", passwords[user])
        page.click("button[type=submit]")
        page.wait_for_url(lambda address: "login" not in address)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda said: page.errors.append(said.text) if said.type == "error" else None)
        return page

    yield log_in
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def admin(served):
    url, _, passwords = served
    airflow = Airflow(url, "admin", passwords["admin"])
    airflow.set_paused("batch_training", False)
    return airflow


@pytest.fixture
def records(demo):
    return Records(Settings(home=demo.home))


@pytest.fixture
def ask(admin, demo):
    """ask("run-1") -> once a batch run of a challenger that is not better waits for a person."""

    def ask(run_id):
        as_of = str(demo.summary["kept_partitions"][-1])
        admin.trigger("batch_training", run_id, conf={"as_of": as_of, **SMALL_RUN})

        def asks():
            states = {task["task_id"]: task["state"] for task in admin.tasks("batch_training", run_id)}
            assert "failed" not in states.values(), states
            return states.get("approval") == "awaiting_input"

        wait_until(asks, what=run_id, seconds=LONGEST)
        time.sleep(3)  # Airflow 3.3 fails a task that is answered in the second in which it parks
        assert admin.xcom("batch_training", run_id, "report")["verdict"] != "pass"

    return ask


def answer(page, run_id, option, reason=""):
    """As a person does under Required actions."""
    page.goto(f"/dags/batch_training/runs/{run_id}/tasks/approval/required_actions")
    page.get_by_text("Verdict:").first.wait_for()
    if reason:
        page.locator("[name=element_override_reason]").fill(reason)
    page.get_by_role("button", name=option, exact=True).click()


def ended(admin, run_id):
    wait_until(lambda: admin.run("batch_training", run_id)["state"] in ("success", "failed"), what=run_id, seconds=300)
    return {task["task_id"]: task["state"] for task in admin.tasks("batch_training", run_id)}


def test_reject_bar_override_and_roll_back(log_in, admin, ask, records):
    before = records.read()
    operator = log_in("operator")

    ask("decisions__reject")
    answer(operator, "decisions__reject", "Reject")
    assert ended(admin, "decisions__reject")["promote"] == "skipped"

    ask("decisions__barred")
    answer(operator, "decisions__barred", "Approve", "an operator's reason")
    assert ended(admin, "decisions__barred")["promote"] == "failed"
    assert records.read() == before

    ask("decisions__override")
    answer(log_in("admin"), "decisions__override", "Approve", "needed for the launch")
    assert ended(admin, "decisions__override")["promote"] == "success"
    promoted = records.read()[-1]
    assert (promoted.kind, promoted.actor, promoted.reason) == ("promotion", "admin", "needed for the launch")

    operator.goto("/mmoe/promotions?decision=overridden")
    operator.get_by_text("needed for the launch").first.wait_for()
    operator.get_by_role("link", name="Roll back").click()
    operator.get_by_label("Reason").fill("the launch is off")
    operator.get_by_role("button", name="Roll back").click()
    operator.get_by_role("heading", name=f"Version {before[-1].version} is champion").wait_for(timeout=180_000)
    record = records.read()[-1]
    assert (record.kind, record.version, record.replaces) == ("rollback", before[-1].version, promoted.version)
    assert (record.actor, record.reason) == ("operator", "the launch is off")
    assert operator.errors == []


def test_a_viewer_sees_the_pages_and_may_not_act(log_in, records):
    before, viewer = records.read(), log_in("viewer")
    viewer.goto("/mmoe/promotions")
    viewer.get_by_role("heading", name="Model promotions").wait_for()
    assert viewer.get_by_role("link", name="Roll back").count() == 0
    assert viewer.goto("/mmoe/rollback").status == 403
    form = {"to": "1", "expected_champion": before[-1].version, "token": "0" * 64, "reason": "x"}
    assert viewer.request.post("/mmoe/rollback", form=form).status == 403
    started = viewer.request.post("/api/v2/dags/rollback/dagRuns", data={"logical_date": None, "conf": {}})
    assert started.status == 403
    assert records.read() == before


def test_pages_load_within_a_second_without_console_errors(log_in):
    page = log_in("operator")
    for path in PAGES:
        page.goto(f"/mmoe/{path}")  # the first visit loads the plugin's modules
    times = {}
    for path in PAGES:
        assert page.goto(f"/mmoe/{path}").status == 200, path
        timing = page.evaluate("performance.getEntriesByType('navigation')[0].duration")
        times[path] = timing / 1000
    assert sorted(times.values())[len(times) // 2] < 1.0, times
    assert page.errors == []


def test_filters_comparison_and_calendar_work_by_keyboard(log_in):
    page = log_in("operator")
    page.goto("/mmoe/promotions")
    page.get_by_label("Training").focus()
    page.keyboard.type("batch")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**kind=batch**")
    assert page.locator("main").get_by_role("link", name="Incremental training").count() == 0
    page.goto("/mmoe/promotions")
    page.get_by_role("button", name="Compare A with B").press("Enter")
    page.get_by_role("heading", name="Configuration that differs").wait_for()
    page.goto("/mmoe/data")
    page.locator("table.month a").first.press("Enter")
    assert page.evaluate("document.querySelector(':target').tagName") == "TR"


def test_a_task_leads_to_its_mlflow_run(log_in, admin, served, demo):
    tasks = [task["task_id"] for task in admin.tasks("batch_training", "demo__batch")]
    assert "train" in tasks
    found = admin.get("dags/batch_training/dagRuns/demo__batch/taskInstances/report/links")["extra_links"]
    page = log_in("operator")
    page.goto(found["MLflow run"])
    page.get_by_text("Batch training", exact=False).or_(page.get_by_text("batch through")).first.wait_for()
    assert page.url.startswith(served[1])


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core from npm: `npm install --prefix var/axe axe-core`")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_issue_on_any_page(log_in, demo, scheme):
    page = log_in("operator")
    page.emulate_media(color_scheme=scheme)
    report = demo.summary["report_path"].split("/")[-2]
    for path in (*PAGES, f"reports/{report}", "no/such/page"):
        page.goto(f"/mmoe/{path}")
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run()")["violations"]
        serious = [
            (rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in ("serious", "critical")
        ]
        assert serious == [], path
