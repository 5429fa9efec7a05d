"""Connections to one host, kept between requests: answers bounded in size, through the proxy of the environment.

githubkit makes an httpx client for each request and closes it after. They all get this transport, which stays open.
It stands in place of httpx's own reading of the environment, so that no .netrc can add credentials.
"""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import AsyncIterator
from functools import cache
from urllib.parse import urlsplit

import httpx

from bot.github.endpoints import GitHubServer
from pipeline.records import AssayError

MOST_BYTES = 10 << 20  # of one answer
CONNECT_S = 5.0
READ_S = 30.0  # between two packets
TIMEOUT = httpx.Timeout(READ_S, connect=CONNECT_S)
_LIMITS = httpx.Limits(max_connections=40, max_keepalive_connections=20, keepalive_expiry=30.0)


class BadAnswer(httpx.TransportError):
    """An answer that nobody should read: too large, or packed although we asked for it as it is."""


class SharedTransport(httpx.AsyncBaseTransport):
    """One pool for many short-lived clients. `close` ends it; `aclose`, which they call, does not."""

    def __init__(self, inner: httpx.AsyncBaseTransport, most_bytes: int = MOST_BYTES) -> None:
        self._inner = inner
        self._most_bytes = most_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises BadAnswer, and what httpx raises where there is no answer."""
        request.headers["Accept-Encoding"] = "identity"  # a bound on what is unpacked would need a decoder of our own
        answer = await self._inner.handle_async_request(request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            await answer.stream.aclose()
            raise BadAnswer("the answer is packed")
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Bounded(answer.stream, self._most_bytes),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Nothing: the connections outlive the client that used them."""

    async def close(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, most_bytes: int) -> None:
        self._inner = inner
        self._most_bytes = most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > self._most_bytes:
                raise BadAnswer(f"the answer is larger than {self._most_bytes >> 20} MB")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def connect(server: GitHubServer) -> SharedTransport:
    """Connections to the API of `server`. Raises AssayError for a CA bundle or a proxy that cannot be used."""
    proxy = _proxy_of(server.api_url)
    return SharedTransport(
        httpx.AsyncHTTPTransport(verify=_trust(server), trust_env=False, limits=_LIMITS, proxy=proxy)
    )


def _trust(server: GitHubServer) -> ssl.SSLContext:
    """The certificates of the bundle alone, or those that httpx brings and SSL_CERT_FILE replaces."""
    if server.ca_bundle is None:
        return _usual_trust()
    try:
        return ssl.create_default_context(cafile=server.ca_bundle)
    except (OSError, ssl.SSLError):
        raise AssayError(f"{server.ca_bundle} holds no certificates: check ASSAY_CA_BUNDLE") from None


@cache
def _usual_trust() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reads some hundred certificates: 20 ms


def _proxy_of(url: str) -> httpx.Proxy | None:
    """The same choice that clones make: HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, unless NO_PROXY names the host."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or urllib.request.proxy_bypass(parts.netloc):
        return None
    if "://" not in address:
        address = f"http://{address}"
    if urlsplit(address).scheme not in ("http", "https"):
        raise AssayError("the proxy of the environment is no http:// or https:// address: change HTTPS_PROXY")
    return httpx.Proxy(address)
