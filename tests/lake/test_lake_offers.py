from datetime import date, timedelta

import pytest
from handmade import DAY, SCHEMA, raw_rows

from mmoe.lake.horizon import Horizon, advance_horizon
from mmoe.lake.offers import learned, offer, open_offers
from mmoe.lake.reader import read_manifest

NEXT = DAY + timedelta(days=1)


@pytest.fixture
def publish_rows(store, landing):
    """publish_rows(day, seed) -> digest of the manifest."""
    import pyarrow.parquet as parquet

    from mmoe.lake.ingest import stage_day
    from mmoe.lake.manifest import Validation
    from mmoe.lake.publish import publish

    def publish_rows(day: date, seed: int = 0) -> str:
        file = landing / f"dt={day}" / "part-0.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(raw_rows(day, seed=seed), file)
        staged = stage_day(store, landing, SCHEMA, day)
        return publish(store, staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA).digest

    return publish_rows


def days(offers):
    return [each.day for each in offers]


def test_a_backfilled_day_is_offered_until_a_champion_has_learned_it(store, publish_rows):
    first, second = publish_rows(DAY), publish_rows(NEXT)
    assert offer(store, DAY, "backfill__a")
    assert offer(store, NEXT, "backfill__b")
    assert days(open_offers(store)) == [DAY, NEXT]
    learned(store, [(DAY, first)])
    assert days(open_offers(store)) == [NEXT]
    learned(store, [(DAY, first), (NEXT, second)])
    assert open_offers(store) == []


def test_reprocessing_that_changes_no_row_offers_nothing(store, publish_rows):
    learned(store, [(DAY, publish_rows(DAY))])
    publish_rows(DAY)
    assert not offer(store, DAY, "backfill__again")
    assert open_offers(store) == []


def test_a_repaired_day_is_offered_although_its_earlier_rows_were_learned(store, publish_rows):
    learned(store, [(DAY, publish_rows(DAY))])
    repaired = publish_rows(DAY, seed=1)
    assert offer(store, DAY, "backfill__repair")
    assert [(each.manifest, each.source_run) for each in open_offers(store)] == [(repaired, "backfill__repair")]


def test_learning_the_earlier_rows_does_not_settle_the_repair(store, publish_rows):
    earlier = publish_rows(DAY)
    publish_rows(DAY, seed=1)
    offer(store, DAY, "backfill__repair")
    learned(store, [(DAY, earlier)])
    assert days(open_offers(store)) == [DAY]


def test_an_expired_day_is_not_offered_and_is_forgotten_by_the_next_champion(store, publish_rows):
    publish_rows(DAY)
    after = publish_rows(NEXT)
    offer(store, DAY, "backfill__a")
    advance_horizon(store, Horizon(day=NEXT))
    assert read_manifest(store, NEXT).digest == after
    assert open_offers(store) == []
    learned(store, [(NEXT, after)])
    assert [entry.key for entry in store.list("_offers/")] == [f"_offers/{NEXT}.json"]
