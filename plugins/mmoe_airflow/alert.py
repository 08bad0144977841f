"""Tell a person what has failed for good."""

import json
import logging
import os
from typing import Any
from urllib.request import Request, urlopen

URL = "MMOE_ALERT_URL"
SECONDS = 10
LOG = logging.getLogger(__name__)


def alert(context: Any) -> None:
    """An `on_failure_callback`: sends the task, its run and its error, which names days, heads and counts."""
    task = context["ti"]
    send(f"{task.dag_id}.{task.task_id} failed in run {task.run_id}: {context.get('exception')}")


def send(text: str) -> None:
    """Posts {"text": …}, as chat systems take it, to MMOE_ALERT_URL; without it, logs only.

    The address may hold a secret, so it is never logged.
    """
    LOG.error("%s", text)
    address = os.environ.get(URL)
    if not address:
        return
    if not address.startswith(("http://", "https://")):
        LOG.error("%s is no http address; the alert was not sent", URL)
        return
    request = Request(address, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"})  # noqa: S310
    try:
        urlopen(request, timeout=SECONDS).close()  # noqa: S310
    except OSError as error:
        LOG.error("the alert was not sent: %s", type(error).__name__)
