"""kill -9 at the boundaries of ingest, validation by Great Expectations, publication, verification and maturing."""

import shutil
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
import yaml
from handmade import DAY, SCHEMA, deliver, raw_rows, replaced
from killed import killed_before

from mmoe.errors import LakeError
from mmoe.lake.quarantine import list_quarantined
from mmoe.lake.reader import read_manifest
from mmoe.settings import Settings
from mmoe.steps.context import Context
from mmoe.steps.data import ingest_step, mature_step, publish_step, validate_step

NEXT, BROKEN = DAY + timedelta(days=1), DAY + timedelta(days=2)


class Home:
    """DAY is published; NEXT brings late rows and labels of DAY, and BROKEN is what its name says."""

    def __init__(self, root):
        self.root = root
        self.context = Context(Settings(home=root / "home", schema_file=str(root / "schema.yaml")))

    def begin(self):
        (self.root / "schema.yaml").write_text(yaml.safe_dump(SCHEMA.model_dump(mode="json")))
        landing = self.context.settings.landing_path
        deliver(landing, raw_rows(rows=60).slice(0, 50))
        deliver(landing, raw_rows(NEXT, rows=60, seed=1), day=NEXT)
        deliver(landing, raw_rows(rows=60).slice(45), "late.parquet", day=NEXT)
        deliver(landing, raw_rows(rows=60).select(["event_id", "event_time", "save"]), "saves.parquet", day=NEXT)
        broken = raw_rows(BROKEN, rows=60, seed=2)
        deliver(landing, replaced(broken, "click", pa.array(np.full(60, 2, np.int8))), day=BROKEN)
        self.take(DAY)

    def take(self, day):
        ingest_step(self.context, day)
        validate_step(self.context, day)
        publish_step(self.context, day)

    def work(self):
        self.take(NEXT)
        mature_step(self.context, BROKEN)
        with pytest.raises(LakeError, match="quarantined"):
            self.take(BROKEN)

    def content(self):
        return {entry.key: self.context.store.read_bytes(entry.key) for entry in self.context.store.list("")}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Made by the real steps, which import what the killed ones need."""
    home = Home(tmp_path_factory.mktemp("template"))
    home.begin()
    return home


@pytest.fixture(scope="module")
def expected(home, tmp_path_factory):
    undisturbed = Home(shutil.copytree(home.root, tmp_path_factory.mktemp("undisturbed"), dirs_exist_ok=True))
    undisturbed.work()
    store = undisturbed.context.store
    assert [read_manifest(store, day).validation.status for day in (DAY, NEXT)] == ["passed", "passed"]
    assert [record.day for record in list_quarantined(store)] == [BROKEN]
    return undisturbed.content()


@pytest.mark.parametrize(
    "boundary",
    [
        f"_staging/dt={NEXT}/staged.json",
        f"validation/dt={NEXT}/*.checks.json",
        f"validation/dt={NEXT}.json",
        f"engagement/dt={NEXT}/manifest.json",
        f"late/dt={DAY}/*",
        f"validation/dt={DAY}/*.profile.json",
        f"engagement/dt={DAY}/manifest.json",
        f"quarantine/dt={BROKEN}/*",
    ],
)
def test_steps_killed_before_a_record_appears_end_as_if_they_had_not_been(home, expected, tmp_path, boundary):
    struck = Home(shutil.copytree(home.root, tmp_path / "struck"))
    assert killed_before(boundary, struck.root, struck.work)
    assert struck.content() != expected
    struck.work()
    assert struck.content() == expected
