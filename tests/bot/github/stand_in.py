"""A server on loopback that expects certain requests in a certain order, and fails the test on any other."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Heard:
    method: str
    path: str  # with the query
    headers: Mapping[str, str]  # lower-case names
    body: Any  # parsed JSON, or none


@dataclass
class Expected:
    """One request and what it is answered with. A body that is no bytes is sent as JSON."""

    method: str
    path: str
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False  # close the connection without a word


@dataclass
class StandIn:
    url: str
    expected: list[Expected]
    heard: list[Heard] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)


@contextmanager
def stand_in(*expected: Expected) -> Iterator[StandIn]:
    """Serve until every expected request came. Raises AssertionError for one that did not, or that nobody expected."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    record = StandIn(f"http://127.0.0.1:{server.server_port}/api/v3", list(expected))
    server.record = record  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    try:
        yield record
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert not record.surprises, record.surprises
    assert not record.expected, f"never asked for: {record.expected}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    wbufsize = 1 << 16  # head and body in one packet
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        record: StandIn = self.server.record  # type: ignore[attr-defined]
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.removeprefix("/api/v3")
        headers = {name.lower(): value for name, value in self.headers.items()}
        record.heard.append(Heard(self.command, path, headers, json.loads(raw) if raw else None))
        following = record.expected[0] if record.expected else None
        if following is None or (following.method, following.path) != (self.command, path):
            record.surprises.append(f"{self.command} {path}, expected {following}")
            following = Expected(self.command, path, status=418, body={"message": "nobody expected this"})
        else:
            record.expected.pop(0)
        if following.hang_up:
            self.close_connection = True
            return
        body = following.body if isinstance(following.body, bytes) else json.dumps(following.body).encode()
        self.send_response(following.status)
        for name, value in {"Content-Length": str(len(body)), **following.headers}.items():
            self.send_header(name, value.replace("{url}", record.url))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # the client had enough

    def log_message(self, format: str, *args: Any) -> None:
        pass


for _method in ("GET", "POST", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler._answer)
