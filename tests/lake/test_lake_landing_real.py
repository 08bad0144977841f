"""Delivery of the KuaiRand log, where it is at hand."""

import os
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from mmoe.errors import SchemaError
from mmoe.lake.ingest import stage_day
from mmoe.lake.landing import deliver, find_days
from mmoe.schema import load_schema

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "kuairand_pure_20220425_20220508"
DAYS = [date(2022, 4, 25) + timedelta(days=number) for number in range(14)]
IMPRESSIONS, DISTINCT = 228_329, 222_444


@pytest.fixture(scope="module")
def kuairand() -> Path:
    folder = Path(os.environ.get("MMOE_KUAIRAND", BESIDE))
    if not folder.is_dir():
        pytest.skip(f"the KuaiRand log is not at {folder}; set MMOE_KUAIRAND to its folder")
    return folder


def test_all_fourteen_days_are_delivered_byte_for_byte(kuairand, landing):
    schema = load_schema("kuairand")
    assert find_days(kuairand, schema) == DAYS
    delivery = deliver(kuairand, schema, landing)
    assert (list(delivery.days), delivery.written, delivery.unsorted) == (DAYS, 16, {})
    for day in DAYS:
        source = kuairand / "log" / f"date={day:%Y%m%d}" / "part-0.parquet"
        assert (landing / f"dt={day}" / "part-0.parquet").read_bytes() == source.read_bytes()
    assert deliver(kuairand, schema, landing).written == 0


def test_split_by_event_day_no_row_is_lost_or_counted_twice(kuairand, landing, store):
    """The same log as if its file names told nothing: rows of neighbouring days change places, the sum stays."""
    content = load_schema("kuairand").model_dump(mode="json")
    content["source"]["files"] = "log/*/*.parquet"
    schema = type(load_schema("kuairand")).model_validate(content)
    counts: Counter[str] = Counter()
    for day in deliver(kuairand, schema, landing).days:
        staged = stage_day(store, landing, schema, day)
        assert staged.problems == ()
        counts.update(staged.counts | {"rows": staged.rows})
    assert (counts["rows_read"], counts["rows"]) == (IMPRESSIONS, DISTINCT)
    assert counts["off_day_rows"] == 0


def test_a_schema_of_another_log_names_the_columns_that_are_missing(kuairand, landing):
    source = load_schema("kuairand").source.model_copy(update={"tables": ()})
    with pytest.raises(SchemaError, match=r"part-0\.parquet: columns missing: event_id .* and 13 more"):
        deliver(kuairand, load_schema("ads").model_copy(update={"source": source}), landing)
