"""The whole way from landing files to published partitions on the KuaiRand log, where it is at hand."""

import shutil
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from mmoe.lake.ingest import stage_day
from mmoe.lake.publish import publish
from mmoe.lake.reader import open_partition, published_days, trailing_manifests
from mmoe.quality import validate
from mmoe.schema import load_schema

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


def test_every_day_of_the_real_log_is_published_and_its_repeats_counted(store, kuairand):
    schema = load_schema("kuairand")
    counts = Counter()
    for day in DAYS:
        staged = stage_day(store, kuairand, schema, day)
        assert staged.problems == ()
        validation = validate(store, staged, schema, trailing_manifests(store, day))
        assert validation.status != "failed", validation.failures
        counts.update(publish(store, staged, validation, schema).counts)
    assert published_days(store) == DAYS
    rows = sum(open_partition(store, day, schema).rows for day in DAYS)
    assert counts["rows_read"] == 228_329
    assert counts["duplicates"] == 5_460 + 9  # exact copies, and those that differ in undeclared columns alone
    assert rows == counts["rows_read"] - counts["duplicates"] - counts["conflicts"] == 228_329 - 5_840
