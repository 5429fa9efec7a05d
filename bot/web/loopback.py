"""Restrict pages to this machine, as there is no sign-in yet.

By DNS rebinding, another site can resolve its own name to 127.0.0.1 and read our responses, so the Host header must
name the loopback, too. Requests forwarded by a proxy or a tunnel come from elsewhere.
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
    """Return whether a host name without port is `localhost`, `127.0.0.1`, `::1` and so on."""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_loopback_request(hosts: Sequence[str], forwarded: bool) -> bool:
    """Return whether a request has just one Host header, with a loopback name (and maybe a port), and no proxy."""
    if forwarded or len(hosts) != 1 or not hosts[0].isascii():
        return False
    try:
        parts = urlsplit(f"//{hosts[0]}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    host = f"[{name}]" if ":" in name else name
    return hosts[0].lower() in (host, f"{host}:{port}") and is_loopback_name(name)


def loopback_only(endpoint: Endpoint) -> Endpoint:
    """Respond with 404 to requests from elsewhere, as if the page did not exist."""

    async def guarded(request: Request) -> Response:
        headers = request.headers
        if not is_loopback_request(headers.getlist("host"), any(name in headers for name in _FORWARDED)):
            raise HTTPException(404)
        return await endpoint(request)

    return guarded
