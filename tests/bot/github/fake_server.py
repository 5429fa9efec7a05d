"""A loopback server that expects requests in order and fails the test on any other."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class ReceivedRequest:
    method: str
    path: str  # with the query
    headers: Mapping[str, str]  # lower-case names
    body: Any  # parsed JSON, or None


@dataclass
class Expected:
    """An expected request and its response. A body that is not bytes is sent as JSON."""

    method: str
    path: str
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False  # close the connection without a response


@dataclass
class FakeServer:
    url: str
    expected: list[Expected]
    received: list[ReceivedRequest] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)


@contextmanager
def fake_server(*expected: Expected) -> Iterator[FakeServer]:
    """Serve the expected requests. Raises AssertionError at the end for missing and unexpected ones."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    server = FakeServer(f"http://127.0.0.1:{http.server_port}/api/v3", list(expected))
    http.fake = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
    assert not server.unexpected, server.unexpected
    assert not server.expected, f"never requested: {server.expected}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    wbufsize = 1 << 16  # head and body in one packet
    disable_nagle_algorithm = True

    def _respond(self) -> None:
        fake: FakeServer = self.server.fake  # type: ignore[attr-defined]
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.removeprefix("/api/v3")
        headers = {name.lower(): value for name, value in self.headers.items()}
        fake.received.append(ReceivedRequest(self.command, path, headers, json.loads(raw) if raw else None))
        following = fake.expected[0] if fake.expected else None
        if following is None or (following.method, following.path) != (self.command, path):
            fake.unexpected.append(f"{self.command} {path}, expected {following}")
            following = Expected(self.command, path, status=418, body={"message": "unexpected request"})
        else:
            fake.expected.pop(0)
        if following.hang_up:
            self.close_connection = True
            return
        body = following.body if isinstance(following.body, bytes) else json.dumps(following.body).encode()
        self.send_response(following.status)
        for name, value in {"Content-Length": str(len(body)), **following.headers}.items():
            self.send_header(name, value.replace("{url}", fake.url))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # the client has gone

    def log_message(self, format: str, *args: Any) -> None:
        pass


for _method in ("GET", "POST", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler._respond)
