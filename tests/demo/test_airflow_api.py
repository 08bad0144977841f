import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from mmoe.demo import airflow_api
from mmoe.demo.airflow_api import Airflow, AirflowError
from mmoe.stack.sqlite import LOCK_TIMEOUT_SECONDS

SILENCE = None


class Server:
    """Answers each request with the next of the given (status, body) pairs, or not at all; the last one stays."""

    def __init__(self):
        self.answers, self.seen, self.released = [(201, {"access_token": "t"})], [], Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                server.seen.append((self.command, self.path))
                self.rfile.read(int(self.headers.get("content-length", 0)))
                status, body = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                if status is SILENCE:
                    server.released.wait(timeout=10)
                    return
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"


LOCKED = (500, {"detail": {"reason": "Database error"}})


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(airflow_api, "SECONDS_BETWEEN_TRIES", 0.0)
    server = Server()
    yield server
    server.released.set()
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def airflow(server):
    airflow = Airflow(server.url, "admin", "password")
    yield airflow
    airflow.client.close()


def test_a_request_that_met_a_locked_database_is_sent_again(server, airflow):
    server.answers = [LOCKED, LOCKED, (201, {})]
    airflow.ensure_pool("training", 1, "one at a time")
    assert server.seen[1:] == [("POST", "/api/v2/pools")] * 3


def test_a_server_that_stays_broken_is_reported_with_the_request(server, airflow):
    server.answers = [LOCKED]
    with pytest.raises(AirflowError, match=r"POST /api/v2/pools: 500"):
        airflow.ensure_pool("training", 1, "one at a time")
    assert len(server.seen) == 1 + airflow_api.TRIES


def test_a_request_that_got_no_answer_in_time_is_sent_again(server, airflow):
    airflow.client.timeout = 0.2
    server.answers = [(SILENCE, {}), (200, {})]
    airflow.set_paused("retention", False)
    assert server.seen[1:] == [("PATCH", "/api/v2/dags/retention")] * 2


def test_a_server_that_never_answers_is_reported_with_the_request(server, airflow):
    airflow.client.timeout = 0.05
    server.answers = [(SILENCE, {})]
    with pytest.raises(AirflowError, match=r"PATCH /api/v2/dags/retention: no answer in 6 tries \(timed out\)"):
        airflow.set_paused("retention", False)


def test_an_answer_that_arrived_although_no_reply_came_back_counts_as_given(server, airflow):
    airflow.client.timeout = 0.2
    server.answers = [(SILENCE, {}), (409, {"detail": "already answered"})]
    airflow.answer("batch_training", "demo__batch", "approval", option="Approve", params={})
    assert len(server.seen) == 3


def test_the_servers_wait_for_a_lock_ends_before_the_clients_patience(airflow):
    assert airflow.client.timeout.read > LOCK_TIMEOUT_SECONDS


def test_a_refusal_is_not_asked_twice(server, airflow):
    server.answers = [(403, {"detail": "no"})]
    with pytest.raises(AirflowError, match="403"):
        airflow.set_paused("retention", False)
    assert len(server.seen) == 2


def test_a_backfill_that_was_started_by_a_request_answered_500_is_found(server, airflow):
    from datetime import date

    running = {"id": 7, "completed_at": None}
    server.answers = [LOCKED, (409, {}), (200, {"backfills": [running]}), (200, {"backfills": []})]
    day = date(2026, 9, 1)
    assert airflow.backfill("engagement_ingest", day, day, reprocess="none", active_runs=1) == 7
