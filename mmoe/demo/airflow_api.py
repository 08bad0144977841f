"""The part of Airflow's REST API (v2) that the demo drives: what a person does in the UI, as calls."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import httpx

from mmoe.errors import MmoeError
from mmoe.stack.sqlite import LOCK_TIMEOUT_SECONDS

FINAL_STATES = {"success", "failed"}
TRIES, SECONDS_BETWEEN_TRIES = 6, 2.0
PATIENCE_SECONDS = LOCK_TIMEOUT_SECONDS + 30
"""A request may wait for the database's lock; who gives up before the server does never learns how it ended."""


class AirflowError(MmoeError):
    """Airflow refused a request, or a run did not end in time."""


class Airflow:
    """One logged-in user of one Airflow."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.user = user
        self.client = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS)
        token = self._checked(self._send("POST", "/auth/token", json={"username": user, "password": password}))
        self.client.headers["Authorization"] = f"Bearer {token['access_token']}"

    def wait_for_dags(self, dag_ids: set[str], seconds: float = 300) -> None:
        """Until the dag-processor has serialized all of them."""
        deadline = time.monotonic() + seconds
        while missing := dag_ids - {dag["dag_id"] for dag in self.get("dags", limit=100)["dags"]}:
            if time.monotonic() > deadline:
                errors = [error["stack_trace"] for error in self.get("importErrors")["import_errors"]]
                raise AirflowError(f"DAGs {sorted(missing)} did not appear. " + "\n".join(errors))
            time.sleep(0.5)

    def set_paused(self, dag_id: str, paused: bool) -> None:
        self._checked(self._send("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": paused}))

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        body = {"name": name, "slots": slots, "description": description}
        response = self._send("POST", "/api/v2/pools", json=body)
        if response.status_code != httpx.codes.CONFLICT:
            self._checked(response)

    def trigger(self, dag_id: str, run_id: str, *, conf: dict[str, Any], partition_key: str | None = None) -> None:
        """Start a run under a chosen id; a run that exists already is left alone."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf, "partition_key": partition_key}
        response = self._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)
        if response.status_code != httpx.codes.CONFLICT:
            self._checked(response)

    def run(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        response = self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
        return None if response.status_code == httpx.codes.NOT_FOUND else self._checked(response)

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return list(self._pages(f"dags/{dag_id}/dagRuns", "dag_runs"))

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return list(self._pages(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances"))

    def clear(self, dag_id: str, run_id: str, *, only_failed: bool = True) -> None:
        body = {"dry_run": False, "only_failed": only_failed}
        self._checked(self._send("POST", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/clear", json=body))

    def backfill(self, dag_id: str, first: date, last: date, *, reprocess: str, active_runs: int) -> int:
        """Start a backfill of the partitions first…last, unless one is running; returns its id."""
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T23:59:59Z",
            "reprocess_behavior": reprocess,
            "max_active_runs": active_runs,
        }
        response = self._send("POST", "/api/v2/backfills", json=body)
        if response.status_code == httpx.codes.CONFLICT:
            return int(next(fill["id"] for fill in self.backfills(dag_id) if fill["completed_at"] is None))
        return int(self._checked(response)["id"])

    def backfills(self, dag_id: str) -> list[dict[str, Any]]:
        return list(self._pages("backfills", "backfills", dag_id=dag_id))

    def waiting_approvals(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        pages = self._pages(f"dags/{dag_id}/dagRuns/{run_id}/hitlDetails", "hitl_details")
        return [detail for detail in pages if not detail["response_received"]]

    def answer(self, dag_id: str, run_id: str, task_id: str, *, option: str, params: dict[str, Any]) -> None:
        """Answer a human-in-the-loop request as this user. Airflow keeps the first answer and refuses others (409)."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        response = self._send("PATCH", path, json={"chosen_options": [option], "params_input": params})
        if response.status_code != httpx.codes.CONFLICT:
            self._checked(response)

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        response = self._send("GET", path, params={"deserialize": False})
        return None if response.status_code == httpx.codes.NOT_FOUND else self._checked(response)["value"]

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        return self._checked(self._send("GET", f"/api/v2/{path}", params=params))

    def _pages(self, path: str, key: str, **params: Any) -> Iterator[dict[str, Any]]:
        offset = 0
        while page := self.get(path, limit=100, offset=offset, **params)[key]:
            yield from page
            offset += len(page)

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Sent again after a fault of the server, which answers 500 while its SQLite database is locked, or not at all.

        Every request here may arrive twice: a run, pool, backfill or answer that is there already is a conflict (409).
        AirflowError when the last try got no answer.
        """
        for _ in range(TRIES - 1):
            with suppress(httpx.TransportError):
                response = self.client.request(method, path, **content)
                if not response.is_server_error:
                    return response
            time.sleep(SECONDS_BETWEEN_TRIES)
        try:
            return self.client.request(method, path, **content)
        except httpx.TransportError as error:
            raise AirflowError(f"{method} {path}: no answer in {TRIES} tries ({error})") from error

    def _checked(self, response: httpx.Response) -> dict[str, Any]:
        if response.is_error:
            raise AirflowError(f"{response.request.method} {response.request.url.path}: "
                               f"{response.status_code} {response.text[:500]}")  # fmt: skip
        content: dict[str, Any] = response.json()
        return content


def age(moment: str) -> float:
    """Seconds since an ISO-8601 moment that Airflow stated."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def wait_until(done: Callable[[], bool], *, what: str, seconds: float, poll: float = 1.0) -> None:
    """Poll until `done`; AirflowError naming what was waited for when time is up."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise AirflowError(f"{what}: not done after {seconds:.0f} s")
        time.sleep(poll)
