"""Send requests to an ASGI application chunk by chunk, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette


@dataclass
class Exchange:
    """The response, and how many chunks of the request body were read."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunks_read: int = 0

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


async def ask(
    app: Starlette,
    path: str,
    *,
    method: str = "POST",
    headers: Iterable[tuple[str, str]] = (),
    chunks: Sequence[bytes] = (b"",),
    breaks_off: bool = False,
    stalls: bool = False,
    client: str = "127.0.0.1",
) -> Exchange:
    """Send a request. `breaks_off`: disconnect after the chunks; `stalls`: stay connected but send nothing more."""
    exchange = Exchange()
    sent = _messages(chunks, breaks_off, stalls)

    async def receive() -> dict[str, Any]:
        message = await anext(sent)
        exchange.chunks_read += message["type"] == "http.request"
        return message

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            exchange.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            exchange.body += message.get("body", b"")

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("utf-8")) for name, value in headers],
        "client": (client, 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return exchange


async def get(app: Starlette, path: str, host: str = "localhost", **headers: str) -> Exchange:
    sent = [("Host", host), *((name.replace("_", "-"), value) for name, value in headers.items())]
    return await ask(app, path, method="GET", headers=sent)


async def _messages(chunks: Sequence[bytes], breaks_off: bool, stalls: bool) -> AsyncIterator[dict[str, Any]]:
    for number, chunk in enumerate(chunks, start=1):
        last = number == len(chunks) and not (breaks_off or stalls)
        yield {"type": "http.request", "body": chunk, "more_body": not last}
    if stalls:
        await asyncio.sleep(3600)
    while True:
        yield {"type": "http.disconnect"}
