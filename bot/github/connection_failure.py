"""Say why no connection to GitHub came about: name, certificate, refusal, proxy or time.

Messages are ours: those of the libraries may hold addresses and headers.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

from pipeline.reports.escape import inert

_MAX_DETAIL_CHARS: Final = 80
_PROXY_NEEDS_PASSWORD: Final = "407"  # how httpx begins the message of a CONNECT that was refused


def describe_failure(error: Exception, host: str, through_proxy: bool) -> tuple[str, bool]:
    """Return what happened and what to check, and whether it may pass within a second."""
    if isinstance(error, httpx.ProxyError):
        if str(error).startswith(_PROXY_NEEDS_PASSWORD):
            return f"the proxy asks for a user and a password to reach {host}: put them into HTTPS_PROXY", False
        return f"the proxy refuses to connect to {host}: check HTTPS_PROXY and NO_PROXY", False
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls_failure(cause, host), False
    peer = "the proxy" if through_proxy else host
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        what = f"the name of {peer} cannot be resolved (DNS)"
    elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        what = f"{peer} refuses the connection"
    elif isinstance(error, httpx.ConnectTimeout):
        what = f"{peer} does not respond"
    elif isinstance(error, httpx.ConnectError):
        what = f"there is no way to {peer}"
    else:
        what = f"{peer} closed the connection"
    return f"{what}: cannot connect to GitHub", True


def _tls_failure(error: ssl.SSLError, host: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = inert(error.verify_message, _MAX_DETAIL_CHARS)
        return f"the certificate of {host} cannot be verified ({why}): if it is your own, set ASSAY_CA_BUNDLE"
    reason = inert((error.reason or "TLS failed").replace("_", " ").lower(), _MAX_DETAIL_CHARS)
    return f"no TLS connection to {host} ({reason}): check that this is the address and port of its https"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it was raised from, also from within a group."""
    todo: list[BaseException] = [error]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        todo += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
        if isinstance(each, BaseExceptionGroup):
            todo += each.exceptions
