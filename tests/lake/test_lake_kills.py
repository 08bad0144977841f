"""kill -9 before every change of a file, from a day's ingest to the renewal of the day before it."""

import shutil
from datetime import timedelta

import pytest
from handmade import DAY, SCHEMA, deliver, raw_rows
from killed import killed_at

from mmoe.lake import spill
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Validation
from mmoe.lake.maturing import days_to_renew
from mmoe.lake.publish import load_validation, publish, save_validation
from mmoe.lake.reader import open_partition
from mmoe.lake.staging import load_staged
from mmoe.lake.store import open_store

NEXT = DAY + timedelta(days=1)
FINAL = DAY + timedelta(days=2)


class Home:
    """A lake, a landing zone, and the work on them: NEXT, which brings late rows and labels of DAY, then DAY anew."""

    def __init__(self, root):
        self.root = root
        self.landing = root / "landing"
        self.store = open_store(str(root / "lake"))

    def first_delivery(self):
        deliver(self.landing, raw_rows(rows=60).slice(0, 50))
        self.take(DAY, NEXT)

    def second_delivery(self):
        deliver(self.landing, raw_rows(NEXT, rows=40, seed=1), day=NEXT)
        deliver(self.landing, raw_rows(rows=60).slice(45), "late.parquet", day=NEXT)
        deliver(self.landing, raw_rows(rows=60).select(["event_id", "event_time", "save"]), "saves.parquet", day=NEXT)

    def take(self, day, as_of):
        """Three steps, each of which takes up what the one before it left in the store."""
        stage_day(self.store, self.landing, SCHEMA, day, as_of=as_of, limit=2_000)
        staged = load_staged(self.store, day)
        save_validation(self.store, day, Validation(status="passed", subject=staged.digest, checks=1))
        publish(self.store, load_staged(self.store, day), load_validation(self.store, day), SCHEMA)

    def work(self):
        self.take(NEXT, FINAL)
        for day in days_to_renew(self.store, SCHEMA, FINAL):
            self.take(day, FINAL)

    def content(self):
        lake = {entry.key: self.store.read_bytes(entry.key) for entry in self.store.list("")}
        landing = {
            str(path.relative_to(self.landing)): path.read_bytes() for path in self.landing.rglob("*") if path.is_file()
        }
        return lake, landing


@pytest.fixture(scope="module", autouse=True)
def few_shards():
    """So that spilling to disk takes part without hundreds of files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill, "SHARDS", 2)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("template"))
    home.first_delivery()
    home.second_delivery()
    return home


@pytest.fixture(scope="module")
def expected(home, tmp_path_factory):
    undisturbed = Home(shutil.copytree(home.root, tmp_path_factory.mktemp("undisturbed"), dirs_exist_ok=True))
    undisturbed.work()
    assert open_partition(undisturbed.store, DAY, SCHEMA).rows == 60
    return undisturbed.content()


@pytest.mark.e2e
def test_work_killed_before_any_change_of_a_file_ends_as_if_it_had_not_been(home, expected, tmp_path):
    old = open_partition(home.store, DAY, SCHEMA).digest
    new = None
    change = 0
    while True:
        struck = Home(shutil.copytree(home.root, tmp_path / "struck"))
        killed = killed_at(change, struck.root, struck.work)
        seen = open_partition(struck.store, DAY, SCHEMA)  # the old rows or the new ones, never a mixture
        assert seen.rows == (50 if seen.digest == old else 60)
        if killed:
            struck.work()
        new = new or open_partition(struck.store, DAY, SCHEMA).digest
        assert struck.content() == expected, f"after a kill before change {change}"
        shutil.rmtree(struck.root)
        if not killed:
            break
        change += 1
    assert new != old
    assert change > 50
