"""Assets and pools that tie the DAGs together."""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset

PARTITION = Asset("engagement_partition", group="engagement")
"""A day was published in the lake, by whatever kind of run."""

FRESH_PARTITION = Asset("fresh_engagement_partition", group="engagement")
"""A day was published by the schedule or by hand, not by a backfill: the champion may train on it."""

TRAINING_POOL = "training"
TRAINING_QUEUE = os.environ.get("MMOE_TRAINING_QUEUE", "default")
"""Celery queue of tasks that want a GPU; executors without queues ignore it."""
PROMOTION_POOL = "promotion"
"""One slot: changes of the champion go one after the other on whatever machine they run. A run that waits for a person
holds no slot."""
PROMOTING: dict[str, Any] = {"pool": PROMOTION_POOL, "execution_timeout": timedelta(minutes=30)}
"""For tasks that change the champion: one that hangs gives the slot back."""
FIRST_IN_POOL: dict[str, Any] = {"priority_weight": 1000, "weight_rule": "absolute"}
"""A rollback goes before every change that waits for the slot."""

RETRYING = {"retries": 2, "retry_delay": timedelta(seconds=30), "retry_exponential_backoff": True}
"""For tasks that may meet a passing fault. A refusal (bad data, a rule) fails at once whatever this says."""
