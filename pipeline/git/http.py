"""HTTP transport for git: dulwich's client with responses limited in size and time, and redirects to one host."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import urllib3
from dulwich.client import Urllib3HttpGitClient

from pipeline.git.errors import Missing, Refused, TooLarge, Unavailable
from pipeline.git.url import CloneUrl
from pipeline.records import AssayError

MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = (301, 302, 303, 307, 308)
MAX_OVERHEAD_BYTES: Final = 64 << 20  # of a response in addition to the pack: refs, progress
SLOW_AFTER_S: Final = 600.0  # from then on a pack that arrives ...
MIN_BYTES_PER_S: Final = 1_000.0  # ... more slowly than this is given up


@dataclass(frozen=True)
class Credentials:
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


class HttpClient(Urllib3HttpGitClient):
    """dulwich's client with bounded responses, without redirects to other hosts and without content codings."""

    def __init__(
        self,
        url: CloneUrl,
        credentials: Credentials | None,
        timeout_s: float,
        pool: urllib3.PoolManager,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(url.text, dumb=False, pool_manager=pool, thin_packs=False, quiet=True)
        self.max_bytes: int | None = MAX_OVERHEAD_BYTES
        self._clone_url = url
        self._request_timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        self._origins = {_origin_of(url.text)}
        self._credentials_header = (
            urllib3.make_headers(basic_auth=f"{credentials.user}:{credentials.password}") if credentials else {}
        )
        self._clock = clock
        self._references: Any = None

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Callable[[int], bytes]]:
        """Return the response to a request and its `read`, for dulwich. Raises AssayError if it is no git response."""
        response, response_url = self._follow(url, headers or {}, data)
        content_type = response.headers.get("Content-Type", "")
        if response.status != 200:
            error = _status_error(self._clone_url, response.status, bool(self._credentials_header))
        elif not content_type.startswith("application/x-git-") or response.headers.get("Content-Encoding"):
            error = AssayError(f"{self._clone_url} is not a git repository: check the URL")
        else:
            response.content_type = content_type
            response.redirect_location = response_url if response_url != url else ""
            return response, _BoundedBody(self._clone_url, response, self.max_bytes, self._clock).read
        response.close()
        raise error

    def _follow(self, url: str, headers: dict[str, str], data: bytes | Iterator[bytes] | None) -> tuple[Any, str]:
        """Send a request and follow redirects on the same host. Return the response and its URL."""
        for _ in range(MAX_REDIRECTS):
            if _origin_of(url) not in self._origins:
                raise AssayError(f"{self._clone_url} redirects to another host: if you trust it, give that URL instead")
            response = self.pool_manager.request(
                "GET" if data is None else "POST",
                url,
                headers={"Pragma": "no-cache", "User-Agent": "git/assay", **headers, **self._credentials_header},
                body=data,
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
                timeout=self._request_timeout,
            )
            location = response.headers.get("Location", "")
            if response.status not in _REDIRECTS or data is not None or not location:
                return response, url
            response.close()
            url = self._redirected(url, location)
        raise AssayError(f"{self._clone_url} redirects too many times: check the URL")

    def _redirected(self, url: str, location: str) -> str:
        """Return the target of a redirect, and allow its origin if it only upgrades http to https."""
        target = urljoin(url, location)
        before, after = urlsplit(url), urlsplit(target)
        upgraded = (before.scheme, after.scheme) == ("http", "https") and before.port is None and after.port is None
        if upgraded and before.hostname == after.hostname:
            self._origins.add(_origin_of(target))
        return target

    def _discover_references(self, service: bytes, base_url: str, *options: Any, **more_options: Any) -> Any:
        """Return the refs of the server, requested once: dulwich requests them again before it fetches."""
        if self._references is None:
            self._references = super()._discover_references(service, base_url, *options, **more_options)
        return self._references

    def _smart_request(self, service: str, url: str, data: bytes | Iterator[bytes] | None) -> Any:
        """Request deltas by offset, which dulwich omits in protocol 2: the packs are smaller and faster to read."""
        if isinstance(data, bytes):
            data = _with_offset_deltas(data)
        return super()._smart_request(service, url, data)


class _BoundedBody:
    """The body of a response, limited in size and speed."""

    def __init__(self, url: CloneUrl, response: Any, max_bytes: int | None, clock: Callable[[], float]) -> None:
        self._url = url
        self._response = response
        self._max_bytes = max_bytes
        self._clock = clock
        self._started_s = clock()
        self._read_bytes = 0

    def read(self, size_bytes: int) -> bytes:
        data: bytes = self._response.read(size_bytes)
        while len(data) < size_bytes and (more := self._response.read(size_bytes - len(data))):
            data += more  # dulwich expects full reads; urllib3 reports a premature end only in the second one
        self._read_bytes += len(data)
        if self._max_bytes is not None and self._read_bytes > self._max_bytes:
            raise TooLarge(f"{self._url} sends more than the limit of {self._max_bytes / 1e6:,.0f} MB: raise the limit")
        elapsed_s = self._clock() - self._started_s
        if elapsed_s > SLOW_AFTER_S and self._read_bytes < elapsed_s * MIN_BYTES_PER_S:
            raise Unavailable(f"{self._url} is sending too slowly: try again later")
        return data


def _with_offset_deltas(request: bytes) -> bytes:
    """Add an argument to a fetch request of protocol 2 (packets, a delimiter, arguments); return others unchanged."""
    at = 0
    if not request[4:].startswith(b"command=fetch"):
        return request
    while request[at : at + 4] != b"0001":
        at += max(4, int(request[at : at + 4], 16))
    return request[: at + 4] + b"000eofs-delta\n" + request[at + 4 :]


def _status_error(url: CloneUrl, status: int, has_credentials: bool) -> AssayError:
    if status == 401:
        reason = "rejects this password" if has_credentials else "needs a password, or does not exist"
        return Refused(f"{url} {reason}: set a token that can read it, or check the spelling")
    if status == 403:
        return Refused(f"these credentials cannot read {url}: set a token with read access to its contents")
    if status in (404, 410):
        return Missing(f"there is no repository at {url}: check the spelling")
    if status == 407:
        return Unavailable("the proxy needs a password: add it to HTTPS_PROXY")
    if status == 429 or status >= 500:
        return Unavailable(f"{url} is not available now (HTTP {status}): try again later")
    return AssayError(f"{url} responds with HTTP {status}: check the URL")


def _origin_of(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname or "", port or {"http": 80, "https": 443}.get(parts.scheme)


def connection_pool(
    url: CloneUrl, ca_bundle: Path | None, proxies: Mapping[str, str] | None = None
) -> urllib3.PoolManager:
    """Create a connection pool that uses the proxy of `proxies` ("http", "https", "no") or of the environment."""
    parts = urlsplit(url.text)
    options: dict[str, Any] = {"ca_certs": str(ca_bundle)} if ca_bundle else {}
    available = urllib.request.getproxies() if proxies is None else proxies
    proxy = available.get(parts.scheme) or available.get("all")
    if not proxy or _bypasses_proxy(parts.netloc, proxies):
        return urllib3.PoolManager(**options)
    address = urlsplit(proxy)
    headers = (
        urllib3.make_headers(proxy_basic_auth=f"{address.username}:{address.password}") if address.username else {}
    )
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)


def _bypasses_proxy(netloc: str, proxies: Mapping[str, str] | None) -> bool:
    """Return whether NO_PROXY names a host."""
    if proxies is None:
        return bool(urllib.request.proxy_bypass(netloc))
    return bool(urllib.request.proxy_bypass_environment(netloc, proxies))  # type: ignore[attr-defined]
