"""Pooled connections to one GitHub host: bounded response sizes, the environment's proxy.

githubkit creates an httpx client for each request and closes it afterwards. All of them share this transport, which
stays open. It also replaces httpx's own reading of the environment, so that a .netrc cannot add credentials.
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

MAX_RESPONSE_BYTES = 10 << 20
CONNECT_S = 5.0
READ_S = 30.0  # between two packets
TIMEOUT = httpx.Timeout(READ_S, connect=CONNECT_S)
_LIMITS = httpx.Limits(max_connections=40, max_keepalive_connections=20, keepalive_expiry=30.0)


class UnreadableResponse(httpx.TransportError):
    """A response that is too large, or compressed although the request asked for identity encoding."""


class SharedTransport(httpx.AsyncBaseTransport):
    """One connection pool for many short-lived clients: `close` ends it; `aclose`, which clients call, does not."""

    def __init__(self, inner: httpx.AsyncBaseTransport, max_bytes: int = MAX_RESPONSE_BYTES) -> None:
        self._inner = inner
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises UnreadableResponse, and httpx's errors if there is no response."""
        request.headers["Accept-Encoding"] = "identity"  # httpx's decoders cannot bound the decompressed size
        response = await self._inner.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.stream.aclose()
            raise UnreadableResponse("the response is compressed")
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_BoundedStream(response.stream, self._max_bytes),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Do nothing: the connections outlive the client that used them."""

    async def close(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, max_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > self._max_bytes:
                raise UnreadableResponse(f"the response is larger than {self._max_bytes >> 20} MB")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def connect(server: GitHubServer) -> SharedTransport:
    """Return connections to the API of `server`. Raises AssayError for an unusable CA bundle or proxy."""
    proxy = proxy_for(server.api_url)
    return SharedTransport(
        httpx.AsyncHTTPTransport(verify=_ssl_context(server), trust_env=False, limits=_LIMITS, proxy=proxy)
    )


def _ssl_context(server: GitHubServer) -> ssl.SSLContext:
    """Trust the CA bundle alone if there is one, else httpx's certificates or those of SSL_CERT_FILE."""
    if server.ca_bundle is None:
        return _default_ssl_context()
    try:
        return ssl.create_default_context(cafile=server.ca_bundle)
    except (OSError, ssl.SSLError):
        raise AssayError(f"{server.ca_bundle} contains no certificates: check ASSAY_CA_BUNDLE") from None


@cache
def _default_ssl_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # cached: loading the certificates takes 20 ms


def proxy_for(url: str) -> httpx.Proxy | None:
    """Choose the proxy as clones do: HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, unless NO_PROXY names the host."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or urllib.request.proxy_bypass(parts.netloc):
        return None
    if "://" not in address:
        address = f"http://{address}"
    if urlsplit(address).scheme not in ("http", "https"):
        raise AssayError("the proxy must be an http:// or https:// address: check HTTPS_PROXY")
    return httpx.Proxy(address)
