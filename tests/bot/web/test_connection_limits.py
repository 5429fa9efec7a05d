"""Connections that send no request, or never the end of one."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.web import connection_limits
from bot.web_process import make_server
from tests.builders.app_processes import until

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer(request: Request) -> Response:
    return PlainTextResponse("here")


async def read_all(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


class Serving:
    """A server in a thread, and clients of it."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        app = Starlette(routes=[Route("/", answer), Route("/body", read_all, methods=["POST"])])
        self._server = make_server(app, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.run, args=([self._listening],), daemon=True)
        self._thread.start()
        stack.callback(self.stop)
        until("the server", lambda: self._server.started)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)

    def connect(self, first: bytes = b"") -> socket.socket:
        connection = self._stack.enter_context(socket.create_connection(self._listening.getsockname(), 10))
        connection.sendall(first)
        return connection


@pytest.fixture
def serving(hasty: None) -> Iterator[Serving]:
    with contextlib.ExitStack() as stack:
        yield Serving(stack)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limits, "CHECK_EVERY_S", 0.02)
    monkeypatch.setattr(connection_limits, "HEAD_S", 0.3)
    monkeypatch.setattr(connection_limits, "REQUEST_S", 0.6)


def is_closed(connection: socket.socket) -> bool:
    """Read whatever is there; return whether the other side closed."""
    connection.settimeout(0.01)
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


UNFINISHED = {
    "nothing": b"",
    "half a head": b"POST /body HTTP/1.1\r\nHost: x\r\nX-a: ",
    "a request, then nothing": ASK,
    "a request, then half a head": ASK + b"GET ",
    "half a body": b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
}


def test_a_connection_without_a_whole_request_is_closed(serving: Serving) -> None:
    connections = {what: serving.connect(sent) for what, sent in UNFINISHED.items()}
    until("the end of all", lambda: all(map(is_closed, connections.values())))


def test_bytes_now_and_then_do_not_keep_a_connection_open(serving: Serving) -> None:
    connection = serving.connect(b"GET / HTTP/1.1\r\nX-a: ")

    def trickle() -> bool:
        try:
            connection.sendall(b"a")
        except OSError:
            return True
        return is_closed(connection)

    until("the end of it", trickle)


def test_a_connection_that_is_used_stays_open(serving: Serving) -> None:
    connection = serving.connect()
    for _ in range(20):
        connection.sendall(ASK)
        assert b"200 OK" in connection.recv(65_536)
        threading.Event().wait(0.05)


def test_too_many_connections_cost_the_oldest_of_them_and_not_the_newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limits, "MAX_UNFINISHED", 20)
    monkeypatch.setattr(connection_limits, "CLOSED_AT_ONCE", 5)
    with contextlib.ExitStack() as stack:
        serving = Serving(stack)
        idle = [serving.connect() for _ in range(100)]
        until("the end of the oldest", lambda: is_closed(idle[0]))
        late = serving.connect(ASK)
        assert b"200 OK" in late.recv(65_536)
        until("the end of most", lambda: sum(map(is_closed, idle)) >= 70)
