"""A local git server over HTTP for tests and the demo: `git http-backend` behind the standard library's server.

with serve_git(folder_of_bare_repositories) as server:
    clone_or_fetch(parse_url(f"{server.url}/owner/name.git"), ...)
    server.fault = cut_after(1_000)      # from now on every response breaks off
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

_CHUNK_BYTES = 16_384


@dataclass
class GitResponse:
    """A response about to be sent."""

    status: int
    headers: dict[str, str]
    body: bytes
    sent_bytes: int | None = None  # cut the connection after this many bytes of the body
    stall: threading.Event | None = None  # wait for it before the body is sent


class Headers(Protocol):
    """The headers of a request, looked up in lower case."""

    def get(self, name: str, /) -> str | None: ...


Fault = Callable[[str, GitResponse], GitResponse]  # (path of the request, honest response) -> what is sent


@dataclass
class GitServer:
    """A running server; `requests` are the lines of the requests so far, `authorizations` their headers."""

    url: str
    fault: Fault | None = None
    old_protocol: bool = False  # speak version 0, as old servers do
    requests: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)  # ends every stall

    def __str__(self) -> str:
        return self.url


def status(code: int, headers: dict[str, str] | None = None) -> Fault:
    """Respond to everything with a status."""
    return lambda path, response: GitResponse(code, headers or {}, b"")


def redirect(to: str) -> Fault:
    """Redirect everything; `{path}` stands for the request's path."""
    return lambda path, response: GitResponse(302, {"Location": to.replace("{path}", path)}, b"")


def cut_after(body_bytes: int, of: str = "git-upload-pack") -> Fault:
    """Close the connection in the middle of responses to requests whose path ends with `of`."""

    def cut(path: str, response: GitResponse) -> GitResponse:
        if path.partition("?")[0].endswith(of):
            response.sent_bytes = body_bytes
        return response

    return cut


def stall(server: GitServer, body_bytes: int = 0) -> Fault:
    """Send some of the body, then nothing until the server is closed."""

    def wait(path: str, response: GitResponse) -> GitResponse:
        response.sent_bytes, response.stall = body_bytes, server.released
        return response

    return wait


@contextlib.contextmanager
def serve_git(root: Path, token: str | None = None) -> Iterator[GitServer]:
    """Serve the bare repositories below a folder on 127.0.0.1; with a token, only to the user x-access-token."""
    server = GitServer("")
    http = _QuietServer(("127.0.0.1", 0), _handler(root, token, server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        http.shutdown()
        http.server_close()
        thread.join()


class _QuietServer(ThreadingHTTPServer):
    """Prints nothing about clients that disconnect, which would clutter the tests' output."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(root: Path, token: str | None, server: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a body waits 40 ms for its headers to be acknowledged

        def do_GET(self) -> None:
            self._respond(b"")

        def do_POST(self) -> None:
            self._respond(self._body())

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size_bytes := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size_bytes))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _respond(self, body: bytes) -> None:
            server.requests.append(f"{self.command} {self.path}")
            server.authorizations.append(self.headers.get("Authorization"))
            if token is not None and not _is_allowed(self.headers.get("Authorization"), token):
                response = GitResponse(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
            else:
                path, _, query = self.path.partition("?")
                protocol = "" if server.old_protocol else self.headers.get("Git-Protocol", "")
                response = run_backend(root, path, query, self.command, self.headers, body, protocol)
            if server.fault is not None:
                response = server.fault(self.path, response)
            with contextlib.suppress(OSError):  # who asked is gone
                self._send(response)

        def _send(self, response: GitResponse) -> None:
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            sent = response.body if response.sent_bytes is None else response.body[: response.sent_bytes]
            for at in range(0, len(sent), _CHUNK_BYTES):
                self.wfile.write(sent[at : at + _CHUNK_BYTES])
            self.wfile.flush()
            if response.stall is not None:
                response.stall.wait()
            if len(sent) < len(response.body):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

    return Handler


def _is_allowed(header: str | None, token: str) -> bool:
    kind, _, encoded = (header or "").partition(" ")
    if kind.lower() != "basic":
        return False
    user, _, password = base64.b64decode(encoded).decode().partition(":")
    return user == "x-access-token" and hmac.compare_digest(password, token)


def run_backend(
    root: Path, path: str, query: str, method: str, headers: Headers, body: bytes, protocol: str
) -> GitResponse:
    """Run `git http-backend` as a CGI program: https://git-scm.com/docs/git-http-backend"""
    env = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": headers.get("content-type") or "",
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
        "GIT_PROTOCOL": protocol,
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding") or "",
    }
    done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=env, check=False)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    code = 200
    fields = {}
    for line in head.decode("latin-1").splitlines():
        name, _, value = line.partition(": ")
        if name.lower() == "status":
            code = int(value.split()[0])
        elif name:
            fields[name] = value
    return GitResponse(code, fields, content)
