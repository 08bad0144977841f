"""The whole way from landing files to published partitions on the KuaiRand log, where it is at hand."""

import shutil
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Validation
from mmoe.lake.maturing import days_to_renew
from mmoe.lake.publish import publish
from mmoe.lake.reader import open_partition, published_days, trailing_manifests
from mmoe.quality import validate
from mmoe.schema import load_schema

pytestmark = pytest.mark.e2e
LOG = Path(__file__).parents[3] / "shared" / "data" / "kuairand_pure_20220425_20220508"
DAYS = [date(2022, 4, 25) + timedelta(days=number) for number in range(14)]


@pytest.fixture
def kuairand(landing):
    if not LOG.is_dir():
        pytest.skip(f"the KuaiRand log is not at {LOG}")
    for day in DAYS:
        shutil.copytree(LOG / "log" / f"date={day:%Y%m%d}", landing / f"dt={day}")
    (landing / "_tables").mkdir()
    for table in LOG.glob("*.parquet"):
        shutil.copy(table, landing / "_tables")
    return landing


def judged(store, staged, schema):
    validation = validate(store, staged, schema, trailing_manifests(store, staged.day))
    assert validation.status != "failed", validation.failures
    return validation


def test_every_event_of_the_real_log_is_published_once_under_its_own_day(store, kuairand):
    schema = load_schema("kuairand")
    counts = Counter()
    for day in DAYS:
        staged = stage_day(store, kuairand, schema, day)
        assert staged.problems == ()
        counts.update(publish(store, staged, judged(store, staged, schema), schema).counts)
    assert counts["rows_read"] == 228_329
    assert counts["off_day_rows"] == 2_071  # shortly after midnight, in the folder of the next day
    as_of = DAYS[-1] + timedelta(days=1)
    for day in days_to_renew(store, schema, as_of):
        staged = stage_day(store, kuairand, schema, day, as_of=as_of)
        publish(store, staged, Validation(status="passed", subject=staged.digest, checks=1), schema)
    assert published_days(store) == DAYS
    rows = sum(open_partition(store, day, schema).rows for day in DAYS)
    assert rows == 222_444 - 141  # distinct events, less those of the day before the first folder
