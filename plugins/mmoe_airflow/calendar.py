"""When the DAGs run by themselves. A finished log (MMOE_LOG_ENDS=YYYY-MM-DD, as in the demo) has no tomorrow."""

import os
from datetime import UTC, datetime

from airflow.sdk import CronPartitionTimetable


def by_partition(cron: str, *, run_offset: int = 0) -> CronPartitionTimetable:
    """A timetable whose runs carry their day as partition key, YYYY-MM-DD (UTC)."""
    return CronPartitionTimetable(cron, timezone="UTC", run_offset=run_offset, key_format="%Y-%m-%d")


def on_calendar(cron: str) -> CronPartitionTimetable | None:
    """By the calendar, or only by hand when the log has ended."""
    return None if log_end() else by_partition(cron)


def log_end() -> datetime | None:
    """The end date of DAGs that follow the log: no run is scheduled after it, while backfills go on working."""
    day = os.environ.get("MMOE_LOG_ENDS")
    return datetime.fromisoformat(day).replace(tzinfo=UTC) if day else None
