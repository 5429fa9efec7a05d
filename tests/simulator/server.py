"""The simulator's HTTP server: uvicorn in a thread, applying faults before git, API or pages."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from tests.simulator import control, git_server
from tests.simulator.api import handle_api, headers_of
from tests.simulator.faults import Before, Cut, Fault, Lost, Stall
from tests.simulator.git_http import GIT_PATH, allowed_repository, git_response
from tests.simulator.messages import Actor, RecordedRequest, Refused, Request, Response
from tests.simulator.pages import handle_page
from tests.simulator.routes_graphql import GRAPHQL_PATH, handle_graphql

if TYPE_CHECKING:
    from tests.simulator.github import GitHub

API_PREFIX = "/api/v3"
_START_TIMEOUT_S, _STOP_TIMEOUT_S = 10.0, 2.0
_BACKLOG = 2_048

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Server:
    """Serves a GitHub on a loopback address from a separate thread."""

    def __init__(self, github: GitHub, port: int = 0, tls: tuple[Path, Path] | None = None) -> None:
        self._github = github
        self._socket = _listen(port)
        self._tls = tls
        self._released: asyncio.Event | None = None  # ends every stall
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated GitHub", daemon=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(_START_TIMEOUT_S), "the simulator did not start in time"

    def stop(self) -> None:
        if self._released is not None:
            self._github.loop.call_soon_threadsafe(self._released.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._github.loop = asyncio.get_running_loop()
        self._released = asyncio.Event()
        certificate, key = self._tls or (None, None)
        config = uvicorn.Config(
            self._respond,
            interface="asgi3",  # a bound method is not recognised as one
            http="h11",
            loop="asyncio",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=True,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        # Not `serve`, which checks only every 0.1 s whether to stop: there are many short tests.
        await server.startup(sockets=[self._socket])
        await server.on_tick(0)
        self._started.set()
        await self._released.wait()
        await _shut_down(server)
        await self._github.webhooks.close()

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await _read(scope, receive)
        path = request.path.removeprefix(API_PREFIX)
        github = self._github
        with github.lock:
            fault = next((f for rule in github.faults if (f := rule.take(request.method, path))), None)
            github.limits.running += 1
            github.limits.most_at_once = max(github.limits.most_at_once, github.limits.running)
        try:
            await self._apply_fault(fault, request, send)
        finally:
            with github.lock:
                github.limits.running -= 1

    async def _apply_fault(self, fault: Fault | None, request: Request, send: Send) -> None:
        if isinstance(fault, Response):
            self._note(request, fault, Actor())
            return await _send(send, fault)
        if isinstance(fault, Before):
            await asyncio.to_thread(fault.act)  # which may wait for a delivery, and so must not block this loop
        if isinstance(fault, Stall):
            assert self._released is not None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._released.wait(), fault.seconds)
            if fault.seconds is None:
                return await _cut(send)
        if isinstance(fault, Cut) and fault.after_bytes is None:
            self._note(request, Response(0), Actor())
            return await _cut(send)
        response = await self._normal_response(request)
        if isinstance(fault, Lost):
            return await (_cut(send) if fault.response is None else _send(send, fault.response))
        if isinstance(fault, Cut):
            return await _send(send, response, fault.after_bytes)
        return await _send_git(send, response, self._github, request)

    async def _normal_response(self, request: Request) -> Response:
        actor = Actor()
        try:
            if request.path.startswith(API_PREFIX + "/"):
                with self._github.lock:
                    stripped = Request(
                        request.method,
                        request.path.removeprefix(API_PREFIX),
                        request.query,
                        request.headers,
                        request.body,
                    )
                    response, actor = handle_api(self._github, stripped)
                    response.headers = headers_of(self._github, actor, response)
            elif request.path == GRAPHQL_PATH:
                with self._github.lock:
                    response, actor = handle_graphql(self._github, request)
            elif GIT_PATH.fullmatch(request.path):
                response = await self._git(request)
            else:
                with self._github.lock:
                    is_control = self._github.controllable and request.path == control.PATH
                    response = (control.handle_control if is_control else handle_page)(self._github, request)
        except Exception:  # a bug of the simulator must not look like a fault of GitHub's
            self._github.violate(f"the simulator failed at {request.method} {request.path}\n{traceback.format_exc()}")
            response = Response(500, b"the simulator failed")
        self._note(request, response, actor)
        return response

    async def _git(self, request: Request) -> Response:
        github = self._github
        try:
            with github.lock:
                repo, service = allowed_repository(github, request)
        except Refused as refusal:
            response = Response(refusal.response.status, str(refusal).encode(), refusal.response.headers)
            if response.status == 401:
                response.headers["www-authenticate"] = 'Basic realm="GitHub"'
            return response
        return await asyncio.to_thread(
            git_response, repo.git_dir, service, request, github.git_cache, github.old_git_protocol
        )

    def _note(self, request: Request, response: Response, actor: Actor) -> None:
        github = self._github
        installation_id = 0 if actor.installation is None else actor.installation.installation_id
        path = request.path.removeprefix(API_PREFIX)
        with github.lock:
            github.requests.append(
                RecordedRequest(
                    request.method, path, response.status, github.clock.now(), installation_id, request.query
                )
            )


def _listen(port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named; else a body waits 40 ms for its headers.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(_BACKLOG)
    return listener


async def _shut_down(server: uvicorn.Server) -> None:
    """Let requests in progress finish, then close everything."""
    for listener in server.servers:
        listener.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while server.server_state.connections and time.monotonic() < deadline:
        await asyncio.sleep(0.002)
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)


async def _read(scope: Scope, receive: Receive) -> Request:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["raw_path"].decode("latin-1")
    return Request(scope["method"], path, scope["query_string"].decode("latin-1"), headers, bytes(body))


async def _send_git(send: Send, response: Response, github: GitHub, request: Request) -> None:
    """Send a response, modified by `git_fault` if it is git's."""
    if github.git_fault is None or not GIT_PATH.fullmatch(request.path):
        return await _send(send, response)
    honest = git_server.GitResponse(response.status, response.headers, response.content())
    faulty = github.git_fault(request.path, honest)
    return await _send(send, Response(faulty.status, faulty.body, faulty.headers), faulty.sent_bytes)


async def _send(send: Send, response: Response, sent_bytes: int | None = None) -> None:
    """Send a response, or `sent_bytes` of its body before cutting the connection."""
    content = response.content()
    headers = {name.lower(): value for name, value in response.headers.items()}
    headers["content-length"] = str(len(content))
    if isinstance(response.body, (dict, list)):
        headers.setdefault("content-type", "application/json; charset=utf-8")
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": fields})
    if sent_bytes is None or sent_bytes >= len(content):
        return await send({"type": "http.response.body", "body": content})
    await send({"type": "http.response.body", "body": content[:sent_bytes], "more_body": True})
    await asyncio.sleep(0.01)  # what was written goes out before the connection does
    await _cut(send)


async def _cut(send: Send) -> None:
    """Abort the connection behind uvicorn's back: `send` is a method of the object that holds the transport."""
    cycle: Any = getattr(send, "__self__")  # noqa: B009
    cycle.transport.abort()
    while not cycle.disconnected:
        await asyncio.sleep(0)
