"""HTTP for git: dulwich's client with our own transport. Answers are bounded in size and time, other hosts refused."""

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

MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = (301, 302, 303, 307, 308)
MOST_TALK_BYTES: Final = 64 << 20  # of an answer beside the pack: refs, progress
SLOW_AFTER_S: Final = 600.0  # a pack that has been coming this long ...
SLOWEST_BYTES_PER_S: Final = 1_000.0  # ... slower than this will never be there


@dataclass(frozen=True)
class Credentials:
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


class HttpClient(Urllib3HttpGitClient):
    """dulwich's client with our own transport: bounded answers, no foreign redirects, no content codings."""

    def __init__(
        self,
        url: CloneUrl,
        credentials: Credentials | None,
        timeout_s: float,
        pool: urllib3.PoolManager,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(url.text, dumb=False, pool_manager=pool, thin_packs=False, quiet=True)
        self.most_bytes: int | None = MOST_TALK_BYTES
        self._clone_url = url
        self._waits = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        self._origins = {_origin_of(url.text)}
        self._credentials_header = (
            urllib3.make_headers(basic_auth=f"{credentials.user}:{credentials.password}") if credentials else {}
        )
        self._clock = clock
        self._offered: Any = None

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Callable[[int], bytes]]:
        """dulwich's hook: the answer to a request, and how to read it. Raises AssayError unless it is git's."""
        answer, answered_url = self._follow(url, headers or {}, data)
        content_type = answer.headers.get("Content-Type", "")
        if answer.status != 200:
            problem = _status_problem(self._clone_url, answer.status, bool(self._credentials_header))
        elif not content_type.startswith("application/x-git-") or answer.headers.get("Content-Encoding"):
            problem = AssayError(f"{self._clone_url} is no git repository: check the URL")
        else:
            answer.content_type = content_type
            answer.redirect_location = answered_url if answered_url != url else ""
            return answer, _Flow(self._clone_url, answer, self.most_bytes, self._clock).read
        answer.close()
        raise problem

    def _follow(self, url: str, headers: dict[str, str], data: bytes | Iterator[bytes] | None) -> tuple[Any, str]:
        """Send a request, follow redirects on the same host; return the answer and its address."""
        for _ in range(MOST_REDIRECTS):
            if _origin_of(url) not in self._origins:
                raise AssayError(self._elsewhere())
            answer = self.pool_manager.request(
                "GET" if data is None else "POST",
                url,
                headers={"Pragma": "no-cache", "User-Agent": "git/assay", **headers, **self._credentials_header},
                body=data,
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
                timeout=self._waits,
            )
            location = answer.headers.get("Location", "")
            if answer.status not in _REDIRECTS or data is not None or not location:
                return answer, url
            answer.close()
            url = self._redirected(url, location)
        raise AssayError(f"{self._clone_url} redirects in circles: check the URL")

    def _redirected(self, url: str, location: str) -> str:
        """Where a redirect leads: the same host only, though from http to https is fine."""
        target = urljoin(url, location)
        before, after = urlsplit(url), urlsplit(target)
        upgraded = (before.scheme, after.scheme) == ("http", "https") and before.port is None and after.port is None
        if upgraded and before.hostname == after.hostname:
            self._origins.add(_origin_of(target))
        return target

    def _elsewhere(self) -> str:
        return f"{self._clone_url} sends us to another host: clone from there instead, if you trust it"

    def _discover_references(self, service: bytes, base_url: str, *options: Any, **more_options: Any) -> Any:
        """What the server offers, asked for once in a conversation: dulwich asks again before it fetches."""
        if self._offered is None:
            self._offered = super()._discover_references(service, base_url, *options, **more_options)
        return self._offered

    def _smart_request(self, service: str, url: str, data: bytes | Iterator[bytes] | None) -> Any:
        """Ask for deltas by offset, which dulwich forgets in protocol 2: smaller packs, and faster to read."""
        if isinstance(data, bytes):
            data = _with_offset_deltas(data)
        return super()._smart_request(service, url, data)


class _Flow:
    """Reads an answer: no more than a limit, and no slower than a limit."""

    def __init__(self, url: CloneUrl, answer: Any, most_bytes: int | None, clock: Callable[[], float]) -> None:
        self._url = url
        self._answer = answer
        self._most_bytes = most_bytes
        self._clock = clock
        self._started_s = clock()
        self._read_bytes = 0

    def read(self, size_bytes: int) -> bytes:
        data: bytes = self._answer.read(size_bytes)
        while len(data) < size_bytes and (more := self._answer.read(size_bytes - len(data))):
            data += more  # dulwich expects all of it; at a premature end urllib3 raises in the second read
        self._read_bytes += len(data)
        if self._most_bytes is not None and self._read_bytes > self._most_bytes:
            raise TooLarge(f"{self._url} sends more than the limit of {self._most_bytes / 1e6:,.0f} MB: raise it")
        elapsed_s = self._clock() - self._started_s
        if elapsed_s > SLOW_AFTER_S and self._read_bytes < elapsed_s * SLOWEST_BYTES_PER_S:
            raise Unavailable(f"{self._url} sends too slowly to ever finish: try again later")
        return data


def _with_offset_deltas(request: bytes) -> bytes:
    """A fetch request of protocol 2 (packets, a delimiter, arguments) with one more argument; others as they are."""
    at = 0
    if not request[4:].startswith(b"command=fetch"):
        return request
    while request[at : at + 4] != b"0001":
        at += max(4, int(request[at : at + 4], 16))
    return request[: at + 4] + b"000eofs-delta\n" + request[at + 4 :]


def _status_problem(url: CloneUrl, status: int, has_credentials: bool) -> AssayError:
    if status == 401:
        refused = "refuses this password" if has_credentials else "needs a password, or does not exist"
        return Refused(f"{url} {refused}: set a token that may read it, or check the spelling")
    if status == 403:
        return Refused(f"{url} may not be read with these rights: set a token that may read its contents")
    if status in (404, 410):
        return Missing(f"there is no repository at {url}: check the spelling")
    if status == 407:
        return Unavailable("the proxy needs a password: put it into HTTPS_PROXY")
    if status == 429 or status >= 500:
        return Unavailable(f"{url} is not available now (HTTP {status}): try again later")
    return AssayError(f"{url} answers with HTTP {status}: check the URL")


def _origin_of(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname or "", port or {"http": 80, "https": 443}.get(parts.scheme)


def connections(url: CloneUrl, ca_bundle: Path | None, proxies: Mapping[str, str] | None = None) -> urllib3.PoolManager:
    """Connections, through the proxy that the environment names, or that `proxies` ("http", "https", "no") names."""
    parts = urlsplit(url.text)
    options: dict[str, Any] = {"ca_certs": str(ca_bundle)} if ca_bundle else {}
    known = urllib.request.getproxies() if proxies is None else proxies
    proxy = known.get(parts.scheme) or known.get("all")
    if not proxy or _goes_direct(parts.netloc, proxies):
        return urllib3.PoolManager(**options)
    address = urlsplit(proxy)
    headers = (
        urllib3.make_headers(proxy_basic_auth=f"{address.username}:{address.password}") if address.username else {}
    )
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)


def _goes_direct(place: str, proxies: Mapping[str, str] | None) -> bool:
    """Whether NO_PROXY names a host."""
    if proxies is None:
        return bool(urllib.request.proxy_bypass(place))
    return bool(urllib.request.proxy_bypass_environment(place, proxies))  # type: ignore[attr-defined]
