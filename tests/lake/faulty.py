"""An S3 endpoint between a client and moto that fails as real stores do: it throttles, or breaks off a body."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import httpx

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


class Faults:
    """How often the next requests fail. `refused` counts those that did."""

    def __init__(self) -> None:
        self.throttled = 0
        self.truncated = 0
        self.refused = 0
        self._lock = Lock()

    def take(self, kind: str) -> bool:
        with self._lock:
            left = getattr(self, kind)
            setattr(self, kind, max(0, left - 1))
            self.refused += left > 0
            return left > 0


@contextmanager
def faulty(endpoint: str) -> Iterator[tuple[str, Faults]]:
    faults = Faults()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if faults.take("throttled"):
                self.answer(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
                return
            got = httpx.request(self.command, endpoint + self.path, headers=dict(self.headers), content=body)
            headers = {name: value for name, value in got.headers.items() if name not in ("connection", "date")}
            if self.command == "GET" and "x-amz-meta-sha256" in headers and faults.take("truncated"):
                self.answer(got.status_code, headers, got.content, cut=len(got.content) // 2)
            else:
                self.answer(got.status_code, headers, got.content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815

        def answer(self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None) -> None:
            self.send_response(status)
            for name, value in ({"content-length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:cut])
            self.close_connection = cut is not None

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", faults
    server.shutdown()
    server.server_close()
    thread.join()
