"""Where things lie in the lake: days to keys and back. No I/O."""

import re
from datetime import date

import pyarrow as pa

from mmoe.schema import EVENT_ID, EVENT_TIME, VIEW_TYPE, Categorical, Schema

ENGAGEMENT, QUARANTINE, SCORES, VALIDATION = "engagement", "quarantine", "scores", "validation"
LATE = "late"
STAGING, RETENTION = "_staging", "_retention"
HORIZON_KEY = f"{RETENTION}/horizon.json"
GROUP_ID = "group_id"
LAKE_LOCK = "lake"
"""Held by whoever publishes or expires partitions, or writes what belongs to a day."""

_DAY = re.compile(r"dt=(\d{4}-\d{2}-\d{2})(?!\d)")


def partition_prefix(day: date) -> str:
    return f"{ENGAGEMENT}/dt={day.isoformat()}/"


def manifest_key(day: date) -> str:
    return partition_prefix(day) + "manifest.json"


def validation_key(day: date) -> str:
    return f"{VALIDATION}/dt={day.isoformat()}.json"


def examination_key(day: date, subject: str) -> str:
    """Where all that was asked of some rows of the day is written; `subject` is their digest."""
    return f"{VALIDATION}/dt={day.isoformat()}/{subject[:16]}.checks.json"


def profile_key(day: date, subject: str) -> str:
    return f"{VALIDATION}/dt={day.isoformat()}/{subject[:16]}.profile.json"


def scores_key(day: date, model_digest: str) -> str:
    """Where a model's score set of a day belongs, so that it expires with its partition."""
    return f"{SCORES}/dt={day.isoformat()}/{model_digest}.parquet"


def quarantine_prefix(day: date) -> str:
    return f"{QUARANTINE}/dt={day.isoformat()}/"


def release_key(day: date, subject: str) -> str:
    """Where a person's decision on the quarantined rows with this digest is written."""
    return f"{quarantine_prefix(day)}releases/{subject[:16]}.json"


def staging_prefix(day: date) -> str:
    return f"{STAGING}/dt={day.isoformat()}/"


def late_prefix(day: date, origin: date | None = None) -> str:
    """Rows of the day that came with the files of `origin`, or of any other day."""
    return f"{LATE}/dt={day.isoformat()}/" + (f"from={origin.isoformat()}/" if origin else "")


def staged_late_prefix(day: date, origin: date) -> str:
    return f"{STAGING}/{late_prefix(day, origin)}"


def day_of(key: str) -> date | None:
    """The day a key belongs to: that of its first dt=YYYY-MM-DD, or None."""
    match = _DAY.search(key)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def canonical_schema(schema: Schema, group_type: pa.DataType) -> pa.Schema:
    """The Arrow schema of every published partition: names are the schema's, never the source's."""
    return pa.schema(
        [(EVENT_ID, pa.string()), (EVENT_TIME, pa.timestamp("us", tz="UTC")), (VIEW_TYPE, pa.string())]
        + [(GROUP_ID, group_type)]
        + [(name, _value_type(feature)) for name, feature in schema.features.categorical.items()]
        + [(name, pa.float32()) for name in schema.features.numeric]
        + [(name, pa.list_(_value_type(feature))) for name, feature in schema.features.multivalued.items()]
        + [(name, pa.int8()) for name in schema.labels]
    )


def _value_type(feature: Categorical) -> pa.DataType:
    return pa.int64() if feature.type == "int" else pa.string()
