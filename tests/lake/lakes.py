"""Lakes with every kind of copy that a day can have, and ways to look at all that is stored."""

from datetime import date, timedelta
from pathlib import Path

from handmade import SCHEMA, deliver, raw_rows

from mmoe.lake import retention
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import Failure, Validation
from mmoe.lake.partitions import scores_key
from mmoe.lake.publish import publish, save_validation
from mmoe.lake.quarantine import quarantine

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(6)]
AS_OF = DAYS[-1] + timedelta(days=1)


def publish_day(stores, day, rows=20):
    """Landing, staging, quarantine, validation, partition and score set of one day."""
    landing = Path(stores.landing.where)
    deliver(landing, raw_rows(day, rows=rows), day=day)
    staged = stage_day(stores.store, landing, SCHEMA, day)
    failure = Failure(expectation="x", severity="critical", detail="1 of 20 rows")
    quarantine(stores.store, staged, Validation(status="failed", subject=staged.digest, checks=1, failures=(failure,)))
    validation = Validation(status="passed", subject=staged.digest, checks=1)
    save_validation(stores.store, day, validation)
    publish(stores.store, staged, validation, SCHEMA)
    stores.store.write_bytes(scores_key(day, "m" * 8), b"scores")


def planned(stores, config, as_of=AS_OF, today=date(2026, 3, 9)):
    return retention.plan(stores, as_of, config, today=today)


def expire(stores, config, as_of=AS_OF, **options):
    return retention.apply(stores, planned(stores, config, as_of), **options)


def copies_of(stores, *days):
    """Every file of the days under any holder's folder, by a look at the disk alone."""
    root = stores.store.root.parent
    return [path for path in root.rglob("*") if path.is_file() and any(f"dt={day}" in str(path) for day in days)]


def state(stores):
    """Every file under the home, with its bytes."""
    root = stores.store.root.parent
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if "_locks/" not in name and not name.endswith(".lock")}
