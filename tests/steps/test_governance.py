"""The commands that others script against: retention and hold, as `mmoe` is called."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from mmoe.errors import TrainingError
from mmoe.lake import ledger
from mmoe.lake.horizon import read_horizon
from mmoe.lake.store import open_store
from mmoe.registry import Version
from mmoe.registry.windows import MODELS_KEY, LearnedModels
from mmoe.schema import load_schema
from mmoe.settings import Settings
from mmoe.steps.context import Context
from mmoe.steps.governance import retention_audit_step, retention_plan_step, today_of
from mmoe.steps.windows import refuse_too_old

FIRST = date(2026, 3, 1)
ROOT = Path(__file__).resolve().parents[2]


def write_params(home: Path, **retention: object) -> Path:
    content = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"retention": {"days": 3, **retention}}
    path = home / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Landing files of six days, and a policy of three."""
    for number in range(6):
        folder = tmp_path / "landing" / f"dt={FIRST + timedelta(days=number)}"
        folder.mkdir(parents=True)
        (folder / "rows.csv").write_text("event_id,event_time\n")
    write_params(tmp_path)
    return tmp_path


def mmoe(home: Path, *command: str) -> tuple[int, list[str], str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MMOE_")}
    environment |= {
        "MMOE_HOME": str(home),
        "MMOE_PARAMS_FILE": str(home / "params.yaml"),
        "MMOE_DVC_PROJECT": str(home),
    }
    finished = subprocess.run(
        [sys.executable, "-m", "mmoe", *command], env=environment, capture_output=True, text=True, timeout=120
    )
    return finished.returncode, finished.stdout.splitlines(), finished.stderr


def test_plan_apply_and_audit_print_tables_and_end_with_one_json_line(home):
    code, lines, _ = mmoe(home, "retention", "plan", "--as-of", "2026-03-06")
    result = json.loads(lines[-1])
    assert code == 0
    assert result["horizon"] == "2026-03-03"
    assert [(item["day"], item["kind"], item["files"]) for item in result["items"]] == [
        ("2026-03-01", "landing", 1), ("2026-03-02", "landing", 1),
    ]  # fmt: skip
    assert any(line.split() == ["2026-03-01", "landing", "all", "1", "20", "-"] for line in lines)
    code, lines, _ = mmoe(home, "retention", "apply", "--as-of", "2026-03-06", "--actor", "ada")
    assert (code, json.loads(lines[-1])["copies"]["landing"]["files"]) == (0, 2)
    assert len(list((home / "landing").iterdir())) == 4
    code, lines, _ = mmoe(home, "retention", "audit", "--as-of", "2026-03-06")
    audited = json.loads(lines[-1])
    assert (code, audited["readable_behind_horizon"], audited["ledger_entries"]) == (0, 0, 1)
    assert audited["ledger_head"] == ledger.entries(open_store(str(home / "lake")))[-1].hash
    assert {store["store"] for store in audited["stores"]} >= {"lake", "landing", "home", "dvc", "cache"}
    code, lines, stderr = mmoe(home, "retention", "audit", "--as-of", "2026-03-08")
    assert code == 1
    assert "mmoe: retention audit: landing of 2026-03-03 is overdue; run retention apply." in stderr
    assert json.loads(lines[-1])["kind"] == "CorruptionError"


def test_holds_are_added_listed_and_ended(home):
    terms = ["--from", "2026-03-01", "--to", "2026-03-02", "--owner", "legal", "--reason", "case 17"]
    code, lines, _ = mmoe(home, "hold", "add", *terms, "--until", "2026-03-31", "--actor", "ada")
    added = json.loads(lines[-1])
    assert (code, added["owner"], added["until"]) == (0, "legal", "2026-03-31")
    mmoe(home, "retention", "apply", "--as-of", "2026-03-06")
    assert len(list((home / "landing").iterdir())) == 6
    _, lines, _ = mmoe(home, "hold", "list", "--as-of", "2026-04-01")
    listed = json.loads(lines[-1])
    assert (listed["active"], listed["holds"][0]["state"], listed["holds"][0]["reason"]) == (0, "run out", "case 17")
    code, lines, _ = mmoe(home, "hold", "end", added["hold"], "--actor", "bob")
    assert json.loads(lines[-1])["state"] == "ended"
    code, _, stderr = mmoe(home, "hold", "end", "none")
    assert (code, f"no such hold; there are: {added['hold']}" in stderr) == (1, True)
    assert mmoe(home, "hold", "add", *terms)[0] == 2
    code, _, stderr = mmoe(home, "hold", "add", *terms[:4], "--owner", " ", "--reason", "x", "--until", "2026-04-01")
    assert (code, "owner: must not be empty" in stderr) == (1, True)


def test_without_a_date_the_schemas_own_day_counts_whatever_the_machines_zone():
    kuairand = load_schema("kuairand")
    assert kuairand.event_time.day_starts_utc == 8
    late_evening = datetime(2026, 3, 29, 17, 0, tzinfo=UTC)
    assert today_of(kuairand, late_evening) == date(2026, 3, 30)
    assert today_of(load_schema("ads"), late_evening) == date(2026, 3, 29)


def test_no_machine_zone_and_no_daylight_saving_day_moves_the_horizon(home, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")  # whose 29 March 2026 has 23 hours
    code, lines, _ = mmoe(home, "retention", "plan", "--as-of", "2026-03-30")
    assert (code, json.loads(lines[-1])["horizon"]) == (0, "2026-03-27")


@pytest.fixture
def context(home: Path) -> Context:
    return Context(Settings(home=home, params_file=home / "params.yaml", dvc_project=home))


def test_the_plan_works_without_a_registry_and_makes_none(context, home):
    result = retention_plan_step(context, date(2026, 3, 6), date(2026, 3, 6))
    assert result["models"] == []
    assert not (home / "mlflow").exists()
    assert read_horizon(context.store) is None


def test_a_registry_that_is_down_keeps_no_row(context, home):
    settings = context.settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:1"})
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    try:
        result = retention_plan_step(Context(settings), date(2026, 3, 6), date(2026, 3, 6))
    finally:
        del os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
    assert "MLflow cannot be asked" in result["models_unknown"]
    assert len(result["items"]) == 2


class OneLine:
    """A registry of one version."""

    def __init__(self, version: Version) -> None:
        self.found = [version]

    def versions(self) -> list[Version]:
        return self.found


VERSION = Version(
    version="1", run_id="r1", digest="d1", line="a", stage="bootstrap", trained_through=FIRST + timedelta(days=2),
    first_day=FIRST, days=3, parent=None, baseline=None, teacher=None, verdict=None, report=None,
    aliases=("champion",), learned=tuple(FIRST + timedelta(days=number) for number in range(3)),
)  # fmt: skip


def test_a_model_beyond_the_age_limit_may_not_teach(context, home):
    registry = OneLine(VERSION)
    write_params(home, max_model_age_days=10)
    context = Context(context.settings)
    refuse_too_old(context, registry, VERSION, FIRST + timedelta(days=10), "teach", "train without it")
    with pytest.raises(TrainingError, match=r"may not teach: .* 2026-03-01, 11 days before 2026-03-12, and .*=10"):
        refuse_too_old(context, registry, VERSION, FIRST + timedelta(days=11), "teach", "train without it")


def test_the_audit_keeps_its_result_for_the_page(context):
    retention_audit_step(context, date(2026, 3, 2))
    content = context.store.read_bytes(MODELS_KEY)
    assert LearnedModels.model_validate_json(content).models == ()
