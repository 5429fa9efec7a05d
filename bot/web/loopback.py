"""Who may look at the pages while nobody can sign in: somebody at this very machine.

A page of another site can have its name resolved to 127.0.0.1 and then read what answers there, so the Host header
has to name the loopback too. What a proxy or a tunnel forwards comes from somewhere else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")

Endpoint = Callable[[Request], Awaitable[Response]]


def is_loopback_name(name: str) -> bool:
    """`localhost`, `127.0.0.1`, `::1` and so on, without a port."""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_from_here(hosts: Sequence[str], forwarded: bool) -> bool:
    """Is the one Host header of a request a loopback name (with or without a port)?"""
    if forwarded or len(hosts) != 1 or not hosts[0].isascii():
        return False
    try:
        parts = urlsplit(f"//{hosts[0]}")
        named, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    spelled = f"[{named}]" if ":" in named else named
    return hosts[0].lower() in (spelled, f"{spelled}:{port}") and is_loopback_name(named)


def only_from_here(endpoint: Endpoint) -> Endpoint:
    """404 for everybody else, as if there were no such page."""

    async def guarded(request: Request) -> Response:
        headers = request.headers
        if not is_from_here(headers.getlist("host"), any(name in headers for name in _FORWARDED)):
            raise HTTPException(404)
        return await endpoint(request)

    return guarded
