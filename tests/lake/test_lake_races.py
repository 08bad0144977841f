"""Several writers at one lake, and the whole way of a day through it, on every store."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from every_store import EVERY_STORE
from handmade import DAY, SCHEMA, deliver, raw_rows

from mmoe.cli import app
from mmoe.config import RetentionConfig
from mmoe.errors import LakeError
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Validation
from mmoe.lake.partitions import manifest_key, staging_prefix
from mmoe.lake.publish import publish
from mmoe.lake.reader import open_partition, read_manifest
from mmoe.lake.store import open_store
from mmoe.settings import Settings
from mmoe.steps.context import Context
from mmoe.steps.models import keep_scores

pytestmark = pytest.mark.parametrize("lake_url", EVERY_STORE, indirect=True)


class Together:
    """A store whose users ask for the lock at the same time, each having seen the day as it was before."""

    def __init__(self, store, barrier):
        self.store, self.barrier = store, barrier

    def __getattr__(self, name):
        return getattr(self.store, name)

    def lock(self, name):
        self.barrier.wait(60)
        return self.store.lock(name)


def staged_at_once(store, landing, seeds):
    """Stagings of one day with other content each, all of their rows in place."""
    found, rows = [], {}
    for seed in seeds:
        deliver(landing, raw_rows(seed=seed))
        found.append(stage_day(store, landing, SCHEMA, DAY))
        rows |= {entry.key: store.read_bytes(entry.key) for entry in store.list(staging_prefix(DAY))}
    for key, content in rows.items():
        store.write_bytes(key, content)
    return found


def test_of_two_writers_of_a_partition_one_wins_and_the_other_says_so(any_store, lake_url, landing, tmp_path):
    barrier = threading.Barrier(2)
    stagings = staged_at_once(any_store, landing, [0, 1])

    def write(staged):
        store = open_store(lake_url, tmp_path / f"cache-{staged.digest}")
        try:
            return publish(
                Together(store, barrier), staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA
            )
        except LakeError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(write, stagings))
    (lost,) = [outcome for outcome in outcomes if isinstance(outcome, str)]
    (manifest,) = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    assert lost.startswith(f"day={DAY}: another run has just published other content of this day, which stays")
    partition = open_partition(any_store, DAY, SCHEMA)
    assert (partition.digest, partition.rows) == (manifest.digest, 200)
    names = {entry.key.rpartition("/")[2] for entry in any_store.list(f"engagement/dt={DAY}/")}
    assert names == {"manifest.json", manifest.files[0].name}


def test_a_damaged_object_is_found_before_it_is_read(any_store, lake_url, landing, tmp_path):
    deliver(landing, raw_rows())
    staged = stage_day(any_store, landing, SCHEMA, DAY)
    manifest = publish(any_store, staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA)
    key = manifest_key(DAY).replace("manifest.json", manifest.files[0].name)
    content = bytearray(any_store.read_bytes(key))
    content[100] ^= 1
    any_store.write_bytes(key, bytes(content))
    with pytest.raises(LakeError, match="not those of its manifest"):
        open_partition(open_store(lake_url, tmp_path / "another-cache"), DAY, SCHEMA)


def test_a_score_set_is_made_once_and_belongs_to_its_day(any_store, lake_url, landing, tmp_path):
    deliver(landing, raw_rows())
    staged = stage_day(any_store, landing, SCHEMA, DAY)
    manifest = publish(any_store, staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA)
    name = f"model-{manifest.digest[:12]}"
    context = Context(Settings(home=tmp_path / "home", lake=lake_url))
    made = []

    def write(path):
        made.append(path)
        path.write_bytes(b"scores")

    for _ in range(2):
        assert keep_scores(context, DAY, name, write).read_bytes() == b"scores"
    assert len(made) == 1
    assert [entry.key for entry in any_store.list("scores/")] == [f"scores/dt={DAY}/{name}.parquet"]
    assert f"dt={DAY}" in str(made[0])
    assert not made[0].exists()


@pytest.mark.e2e
def test_days_go_from_ingest_to_expiry_whole_and_in_part_by_the_commands(
    any_store, lake_url, landing, params, tmp_path, monkeypatch, capsys
):
    (tmp_path / "schema.yaml").write_text(json.dumps(SCHEMA.model_dump(mode="json", exclude_defaults=True)))
    kept_shortly = params.model_copy(
        update={"retention": RetentionConfig(days=3, view_types={"search": 2}, max_share=1.0)}
    )
    (tmp_path / "params.yaml").write_text(kept_shortly.model_dump_json())
    settings = {"HOME": tmp_path / "home", "LAKE": lake_url, "LANDING": landing, "DVC_PROJECT": tmp_path}
    files = {"SCHEMA_FILE": tmp_path / "schema.yaml", "PARAMS_FILE": tmp_path / "params.yaml"}
    for name, value in (settings | files).items():
        monkeypatch.setenv(f"MMOE_{name}", str(value))

    def mmoe(*words):
        app(words, standalone_mode=False)
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    later = DAY + timedelta(days=3)
    for day in (DAY, later):
        deliver(landing, raw_rows(day), day=day)
        for step in ("ingest", "validate", "publish"):
            mmoe(step, "--date", str(day))
    again = open_store(lake_url, tmp_path / "home" / "cache" / "lake")
    assert open_partition(again, DAY, SCHEMA).rows == 200
    as_of = str(later + timedelta(days=3))
    mmoe("retention", "apply", "--as-of", as_of, "--yes")
    mmoe("retention", "audit", "--as-of", as_of)
    assert [copy for copy in again.copies("") if f"dt={DAY}" in copy.key] == []
    home_rows = raw_rows(later)["view_type"].to_pylist().count("home")
    assert open_partition(again, later, SCHEMA).rows == home_rows < 200
    kept = {"manifest.json", *(file.name for file in read_manifest(again, later).files)}
    copies = again.copies(f"engagement/dt={later}/")
    assert {(copy.key.rpartition("/")[2], copy.kind) for copy in copies} == {(name, "object") for name in kept}
