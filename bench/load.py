"""Sends signed deliveries as fast as they are taken, over kept-alive connections, and says how long each took.

Requests are written as bytes made beforehand, so that the sender costs little beside what it measures.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

SECRET = "a secret of the benchmark"
BODY_BYTES = 8_192  # what a push of a few commits weighs


@dataclass
class Load:
    """What came of it."""

    seconds: float = 0.0
    took_s: list[float] = field(default_factory=list)  # of each answer 202
    accepted: list[str] = field(default_factory=list)  # the ids of those deliveries
    other: dict[str, int] = field(default_factory=dict)  # other answers, by status

    @property
    def rate(self) -> float:
        """Accepted deliveries a second."""
        return len(self.accepted) / self.seconds if self.seconds else 0.0

    def quantile_ms(self, share: float) -> float:
        """Milliseconds within which that share of the accepted were answered."""
        ordered = sorted(self.took_s)
        return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def push_body() -> bytes:
    """A push to a default branch, of the usual weight."""
    body = {
        "ref": "refs/heads/main",
        "before": "1" * 40,
        "after": "2" * 40,
        "forced": False,
        "deleted": False,
        "repository": {"id": 42, "full_name": "acme/shop", "default_branch": "main", "private": True},
        "installation": {"id": 7},
        "sender": {"id": 9, "login": "ada", "type": "User"},
        "commits": [],
    }
    commit = {"id": "3" * 40, "message": "m" * 200, "timestamp": "2026-01-01T00:00:00Z", "added": ["a/b/c.py"]}
    while len(json.dumps(body)) < BODY_BYTES:
        body["commits"] = [*body["commits"], commit]  # type: ignore[misc]
    return json.dumps(body).encode()


def requests(host: str, port: int, body: bytes) -> Iterator[tuple[str, bytes]]:
    """Delivery ids and whole requests, each id new."""
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST /webhook HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"User-Agent: GitHub-Hookshot/bench\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={signature}\r\n"
        f"Content-Length: {len(body)}\r\nX-GitHub-Delivery: "
    ).encode()
    while True:
        guid = str(uuid.uuid4())
        yield guid, head + guid.encode() + b"\r\n\r\n" + body


async def send(host: str, port: int, *, connections: int, seconds: float, most: int = 1 << 60) -> Load:
    """Keep so many connections busy for so long, or until so many were sent. Broken connections end quietly."""
    load, source = Load(), requests(host, port, push_body())
    started = time.perf_counter()
    end = started + seconds
    sent = 0

    async def one() -> None:
        nonlocal sent
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            return
        try:
            while time.perf_counter() < end and sent < most:
                guid, request = next(source)
                sent += 1
                began = time.perf_counter()
                writer.write(request)
                status = await _answer(reader)
                if status == "202":
                    load.took_s.append(time.perf_counter() - began)
                    load.accepted.append(guid)
                else:
                    load.other[status] = load.other.get(status, 0) + 1
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    load.seconds = time.perf_counter() - started
    return load


async def _answer(reader: asyncio.StreamReader) -> str:
    """The status of an answer that is read to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
    await reader.readexactly(length)
    return lines[0].split(" ")[1]
