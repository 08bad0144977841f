"""Strings and numbers planted in the rows of good, broken, unreadable and released days, and looked for everywhere.

The commands are the real ones; what they print is what Airflow logs, and their last line is what goes to XCom.
"""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from fastapi.testclient import TestClient
from handmade import DAY, SCHEMA, deliver, raw_rows, replaced

from mmoe.cli import main
from mmoe.settings import Settings
from mmoe.web import build_app

TEXT, NUMBER, PRICE = "canary", 918273645546372, 91827.375
CANARIES = (TEXT, str(NUMBER), "91827.3")
BROKEN, UNREADABLE, RELEASED = (DAY + timedelta(days=number) for number in (1, 2, 3))


def planted(day, seed: int) -> pa.Table:
    """Rows with a canary in every kind of column."""
    raw = raw_rows(day, rows=400, seed=seed)
    devices = [f"{TEXT}-device" if row % 9 == 0 else "phone" for row in range(400)]
    users, prices = np.arange(400), np.ones(400)
    users[::7], prices[::5] = NUMBER, PRICE
    changes = {
        "event_id": [f"{TEXT}-{day}-{row}" for row in range(400)],
        "device": devices,
        "user_id": users,
        "price": prices,
        "topics": [[NUMBER, row] for row in range(400)],
        "unused": [f"{TEXT}-unused-{row}" for row in range(400)],
    }
    for name, values in changes.items():
        raw = replaced(raw, name, pa.array(values))
    return raw


def broken(day) -> pa.Table:
    """Canaries where no text or no such number belongs."""
    raw = planted(day, seed=5)
    for name, row in (("click", 1), ("event_time", 2), ("ad_id", 3), ("price", 4), ("save", 5)):
        values = [None if value is None else str(value) for value in raw[name].to_pylist()]
        values[row] = f"{TEXT}-{name}"
        raw = replaced(raw, name, pa.array(values))
    views = raw["view_type"].to_pylist()
    views[6] = f"{TEXT}-view"
    ids = raw["event_id"].to_pylist()
    ids[8] = ids[9]  # a conflict
    return replaced(replaced(raw, "view_type", pa.array(views)), "event_id", pa.array(ids))


def odd(day) -> pa.Table:
    """Readable, but not publishable without a person."""
    raw = planted(day, seed=6)
    clicks = np.array(raw["click"].to_pylist())
    clicks[:3] = 91
    views = raw["view_type"].to_pylist()
    views[4] = f"{TEXT}-view"
    return replaced(replaced(raw, "click", pa.array(clicks)), "view_type", pa.array(views))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("canaries")
    (home / "schema.yaml").write_text(yaml.safe_dump(SCHEMA.model_dump(mode="json")))
    landing = home / "landing"
    for number in range(-3, 1):
        day = DAY + timedelta(days=number)
        deliver(landing, planted(day, seed=number + 10), day=day)
    deliver(landing, broken(BROKEN), day=BROKEN)
    deliver(landing, odd(RELEASED), day=RELEASED)
    folder = landing / f"dt={UNREADABLE}"
    folder.mkdir()
    (folder / "a.csv").write_text(f"{TEXT}-1,{TEXT}-2\n{TEXT}-3,{NUMBER}\n")
    (folder / "b.jsonl").write_text(f'{{"event_id": "{TEXT}-json", "click": {{"{TEXT}-key": 1}}}}\n{{{TEXT}\n')
    (folder / "c.parquet").write_bytes(b"PAR1" + TEXT.encode() * 20 + b"PAR1")
    deliver(landing, planted(UNREADABLE, seed=7), day=UNREADABLE, name="d.parquet")
    return home


@pytest.fixture(scope="module")
def said(home, tmp_path_factory):
    """Exit code and output of every command, by what it was."""
    environment = {"MMOE_HOME": str(home), "MMOE_SCHEMA_FILE": str(home / "schema.yaml")}
    patch = pytest.MonkeyPatch()
    for name, value in environment.items():
        patch.setenv(name, value)
    found = {}

    def run(*arguments):
        patch.setattr(sys, "argv", ["mmoe", *arguments])
        out, err = (tmp_path_factory.mktemp("out") / name for name in ("out", "err"))
        with out.open("w") as stdout, err.open("w") as stderr:
            patch.setattr(sys, "stdout", stdout)
            patch.setattr(sys, "stderr", stderr)
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code or 0
        found[arguments] = (code, out.read_text(), err.read_text())

    for number in range(-3, 4):
        day = str(DAY + timedelta(days=number))
        for step in ("ingest", "validate", "publish"):
            run(step, "--date", day)
    run("quarantine", "list")
    run("quarantine", "show", "--date", str(BROKEN))
    run("quarantine", "release", "--date", str(RELEASED), "--actor", "ada", "--reason", "known")
    run("quarantine", "release", "--date", str(RELEASED), "--actor", "bob", "--reason", "again")
    run("quarantine", "release", "--date", str(DAY), "--actor", "ada", "--reason", "why not")
    run("quarantine", "list", "--all")
    run("quarantine", "show", "--date", "2020-01-01")
    run("quarantine", "release", "--date", str(RELEASED))
    patch.undo()
    return found


def closing(said, *arguments):
    return json.loads(said[arguments][1].splitlines()[-1])


def test_the_commands_end_as_they_should(said):
    for day, codes in ((DAY, (0, 0, 0)), (BROKEN, (0, 1, 1)), (UNREADABLE, (0, 1, 1)), (RELEASED, (0, 1, 1))):
        assert tuple(said[step, "--date", str(day)][0] for step in ("ingest", "validate", "publish")) == codes, day
    _, out, err = said["validate", "--date", str(BROKEN)]
    assert err.startswith(f"mmoe: day={BROKEN}: quarantined: ")
    assert json.loads(out.splitlines()[-1])["error"] in err


def test_quarantined_days_are_listed_shown_and_released(said):
    listed = closing(said, "quarantine", "list")
    assert [(row["day"], row["state"]) for row in listed["quarantined"]] == [
        (str(day), "quarantined") for day in (BROKEN, UNREADABLE, RELEASED)
    ]
    shown = closing(said, "quarantine", "show", "--date", str(BROKEN))
    assert {"view_type", "event_time"} <= {failure["column"] for failure in shown["failures"]}
    arguments = ("quarantine", "release", "--date", str(RELEASED), "--actor", "ada", "--reason", "known")
    released = closing(said, *arguments)
    assert (released["status"], released["rows"], released["left_out_rows"]) == ("released", 396, 4)
    again = closing(said, *arguments[:5], "bob", "--reason", "again")
    assert again == released
    everything = closing(said, "quarantine", "list", "--all")["quarantined"]
    assert [row["state"] for row in everything] == ["quarantined", "quarantined", "settled"]


def test_refusals_end_with_1_and_misuse_with_2(said):
    code, _, err = said["quarantine", "release", "--date", str(DAY), "--actor", "ada", "--reason", "why not"]
    assert (code, "nothing is in quarantine" in err) == (1, True)
    code, _, err = said["quarantine", "show", "--date", "2020-01-01"]
    assert (code, "never in quarantine" in err) == (1, True)
    assert said["quarantine", "release", "--date", str(RELEASED)][0] == 2


def test_no_command_prints_a_rows_value(said):
    for arguments, (_, out, err) in said.items():
        assert not [canary for canary in CANARIES if canary in out + err], arguments


def test_a_command_of_its_own_process_logs_no_value_either(home, said):
    environment = {"PATH": "/usr/bin:/bin", "MMOE_HOME": str(home), "MMOE_SCHEMA_FILE": str(home / "schema.yaml")}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "mmoe", "validate", "--date", str(BROKEN)]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert finished.returncode == 1
    assert not [canary for canary in CANARIES if canary in finished.stdout + finished.stderr]


def test_outside_the_rows_no_file_holds_a_rows_value(home, said):
    files = [path for path in (home / "lake").rglob("*") if path.is_file() and path.suffix != ".parquet"]
    assert {"manifest.json", "staged.json"} <= {path.name for path in files}
    assert [path for path in files if ".profile" in path.name]
    for path in files:
        content = path.read_bytes()
        assert not [canary for canary in CANARIES if canary.encode() in content], path


def test_no_page_shows_a_rows_value(home, said):
    client = TestClient(build_app(lambda: Settings(home=home)))
    for address in ("/data", *(f"/data/{DAY + timedelta(days=number)}" for number in range(-3, 4))):
        answer = client.get(address)
        assert answer.status_code == 200
        assert not [canary for canary in CANARIES if canary in answer.text], address


def test_the_canaries_do_reach_the_lakes_rows(home, said):
    import pyarrow.parquet as pq

    path = next((home / "lake" / "engagement" / f"dt={DAY}").glob("*.parquet"))
    rows = pq.read_table(path)
    assert any(TEXT in value for value in rows["device"].to_pylist())
    assert NUMBER in rows["user_id"].to_pylist()
