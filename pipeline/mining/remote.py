"""A git server behind http or https: what its default branch is, and a pack of what we lack. dulwich speaks the protocol.

Nothing that the server says is trusted: answers are bounded in size and time, redirects to another host are refused,
and every way to fail becomes one line that says what to do. Credentials travel in a header and nowhere else.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import urllib3
from dulwich.client import Urllib3HttpGitClient
from dulwich.errors import GitProtocolError, HangupException
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from pipeline.records import AssayError, printable

LONGEST_URL: Final = 2_048
MOST_REDIRECTS: Final = 5
MOST_TALK_BYTES: Final = 64 << 20  # of an answer beside the pack: refs, progress
SLOW_AFTER_S: Final = 600.0  # a pack that has been coming this long ...
SLOWEST_BYTES_PER_S: Final = 1_000.0  # ... slower than this will never be there

_HEAD: Final = b"HEAD"
_ID: Final = re.compile(rb"[0-9a-f]{40}")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\]")
_SAFE_PATH: Final = re.compile(r"(/[A-Za-z0-9._~%+@,=-]+)+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//|:)")
_SCP: Final = re.compile(r"[\w.-]+@[\w.-]+:")
# What dulwich raises on answers that make no sense.
_NONSENSE: Final = (
    GitProtocolError,
    HangupException,
    ValueError,
    AssertionError,
    LookupError,
    TypeError,
    AttributeError,
)


@dataclass(frozen=True)
class CloneUrl:
    """An address of a repository without credentials, such as https://github.com/owner/name."""

    text: str
    name: str  # owner/name: the last two parts of the path

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Credentials:
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


@dataclass(frozen=True)
class RemoteHead:
    """The head of the default branch. `ref` is empty where the server's HEAD names no branch."""

    id: bytes  # 20 bytes
    ref: bytes  # b"refs/heads/main"


def looks_like_url(text: str) -> bool:
    """Whether a person meant an address (also one that `parse_url` will refuse) and not a path."""
    stripped = text.strip()
    return stripped.startswith("-") or _SCHEME.match(stripped) is not None or _SCP.match(stripped) is not None


def parse_url(text: str) -> CloneUrl:
    """An http or https address. Raises AssayError, without repeating what may hold a password."""
    stripped = text.strip()
    if len(stripped) > LONGEST_URL:
        raise AssayError(f"the URL is longer than {LONGEST_URL:,} characters: give https://host/owner/name")
    if stripped.startswith("-"):
        raise AssayError(f"{_shown(stripped)} is an option, not a URL: give https://host/owner/name")
    if not stripped.isascii() or not stripped.isprintable() or re.search(r"[\s\\\"'<>]", stripped):
        raise AssayError("the URL holds characters that no clone URL has: give https://host/owner/name")
    scheme = stripped.partition(":")[0].lower()
    if scheme not in ("http", "https") or "://" not in stripped:
        raise AssayError("only http:// and https:// URLs can be cloned: give https://host/owner/name")
    try:
        parts = urlsplit(stripped)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise AssayError("the URL makes no sense: give https://host/owner/name") from None
    if "@" in parts.netloc:
        raise AssayError("the URL holds a password or user name: take it out, and set a token instead")
    shown_host = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/")
    segments = path.split("/")[1:]
    if not _HOST.fullmatch(shown_host) or not _SAFE_PATH.fullmatch(path) or {".", ".."} & set(segments):
        raise AssayError(f"{_shown(stripped)} is no clone URL: give https://host/owner/name")
    if parts.query or parts.fragment or re.search(r"%(?![0-9A-Fa-f]{2})|%(0|1|2[eEfF]|5[cC]|7[fF])", path):
        raise AssayError(f"{_shown(stripped)} is no clone URL: give https://host/owner/name")
    place = shown_host if port is None else f"{shown_host}:{port}"
    name = "/".join(segments[-2:]).removesuffix(".git")
    return CloneUrl(f"{scheme}://{place}{path}", name)


def _shown(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "…"


class Remote:
    """One conversation with a server. Close it, or use it in a `with` statement."""

    def __init__(
        self,
        url: CloneUrl,
        *,
        credentials: Credentials | None = None,
        timeout_s: float = 60,
        ca_bundle: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._client = _Client(url, credentials, timeout_s, _pool(url, ca_bundle), clock)
        self._has_credentials = credentials is not None

    def close(self) -> None:
        self._client.pool_manager.clear()

    def head(self) -> RemoteHead:
        """The head of the default branch. Raises AssayError."""
        with _explained(self.url, self._has_credentials):
            answer = self._client.get_refs("", ref_prefix=[_HEAD])
            return self._read_head(dict(answer.refs), dict(answer.symrefs))

    def receive(self, wanted: bytes, have: list[bytes], write: Callable[[bytes], None], most_bytes: int | None) -> None:
        """Write a pack of everything that `wanted` reaches and `have` does not. Ids are 20 bytes. Raises AssayError."""
        quota = _Quota(self.url, write, most_bytes)
        self._client.most_bytes = None if most_bytes is None else most_bytes + MOST_TALK_BYTES
        with _explained(self.url, self._has_credentials):
            self._client.fetch_pack(
                b"",
                lambda refs, depth=None: [wanted.hex().encode()],
                _Haves(have),
                quota.write,
                ref_prefix=[_HEAD],
            )

    def _read_head(self, refs: dict[bytes, bytes | None], symrefs: dict[bytes, bytes]) -> RemoteHead:
        id = refs.get(_HEAD)
        ref = symrefs.get(_HEAD, b"")
        if id is None:
            raise AssayError(f"{self.url} is empty: its default branch has no commit yet")
        if len(id) == 64:
            raise AssayError(f"{self.url} uses the SHA-256 object format, which assay cannot read")
        if not _ID.fullmatch(id) or not (ref == b"" or is_branch(ref)):
            raise AssayError(f"{self.url} answers with a head that makes no sense ({printable(ref[:80])})")
        return RemoteHead(bytes.fromhex(id.decode()), ref)


def is_branch(ref: bytes) -> bool:
    """Whether a ref is a branch that can be written down safely."""
    return (
        ref.startswith(b"refs/heads/")
        and len(ref) < 1024
        and re.search(rb"[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|/$|@\{", ref) is None
    )


class _Haves:
    """The commits that we have, as dulwich asks for them (`GraphWalker`)."""

    def __init__(self, ids: list[bytes]) -> None:
        self._ids = iter(ids)

    def __next__(self) -> bytes | None:
        id = next(self._ids, None)
        return None if id is None else id.hex().encode()

    next = __next__

    def ack(self, id: bytes) -> None:
        """The server has it too: nothing changes, all were named already."""

    def nak(self) -> None:
        """The server has none of them: it sends everything."""


class _Quota:
    """Counts what is written."""

    def __init__(self, url: CloneUrl, write: Callable[[bytes], None], most_bytes: int | None) -> None:
        self._url = url
        self._write = write
        self._most_bytes = most_bytes
        self._written_bytes = 0

    def write(self, data: bytes) -> int:
        self._written_bytes += len(data)
        if self._most_bytes is not None and self._written_bytes > self._most_bytes:
            raise AssayError(
                f"{self._url} is larger than the limit of {self._most_bytes / 1e6:,.0f} MB: raise the limit, "
                "or clone it yourself and give the path"
            )
        self._write(data)
        return len(data)


class _Client(Urllib3HttpGitClient):
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
        self._timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        self._origin_now = _origin_of(url.text)
        self._credentials_header = (
            urllib3.make_headers(basic_auth=f"{credentials.user}:{credentials.password}") if credentials else {}
        )
        self._credentials_origin = self._origin_now
        self._clock = clock

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Callable[[int], bytes]]:
        asked = url
        for _ in range(MOST_REDIRECTS):
            if _origin_of(url) != self._origin_now:
                raise AssayError(
                    f"{self._clone_url} sends us to another host: clone from there instead, if you trust it"
                )
            sent = {"Pragma": "no-cache", "User-Agent": "git/assay", **(headers or {})}
            if self._origin_now == self._credentials_origin:
                sent.update(self._credentials_header)
            answer = self.pool_manager.request(
                "GET" if data is None else "POST",
                url,
                headers=sent,
                body=data,
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
                timeout=self._timeout,
            )
            location = answer.headers.get("Location", "")
            if answer.status not in (301, 302, 303, 307, 308) or data is not None or not location:
                break
            answer.close()
            url = self._redirected(url, location)
        else:
            raise AssayError(f"{self._clone_url} redirects in circles: check the URL")
        if answer.status != 200:
            answer.close()
            raise AssayError(_status_sentence(self._clone_url, answer.status, bool(self._credentials_header)))
        content_type = answer.headers.get("Content-Type", "")
        if not content_type.startswith("application/x-git-") or answer.headers.get("Content-Encoding"):
            answer.close()
            raise AssayError(f"{self._clone_url} is no git repository: check the URL")
        answer.content_type = content_type
        answer.redirect_location = url if url != asked else ""
        return answer, _Flow(self._clone_url, answer, self.most_bytes, self._clock).read

    def _redirected(self, url: str, location: str) -> str:
        """Where a redirect leads: the same host only, though from http to https is fine."""
        target = urljoin(url, location)
        before, after = urlsplit(url), urlsplit(target)
        if before.hostname != after.hostname or (before.scheme, after.scheme) == ("https", "http"):
            raise AssayError(f"{self._clone_url} sends us to another host: clone from there instead, if you trust it")
        upgraded = before.scheme != after.scheme and before.port is None and after.port is None
        if upgraded:
            self._origin_now = _origin_of(target)
        return target


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
        self._read_bytes += len(data)
        if self._most_bytes is not None and self._read_bytes > self._most_bytes:
            raise AssayError(f"{self._url} sends more than the limit of {self._most_bytes / 1e6:,.0f} MB: raise it")
        elapsed_s = self._clock() - self._started_s
        if elapsed_s > SLOW_AFTER_S and self._read_bytes < elapsed_s * SLOWEST_BYTES_PER_S:
            raise AssayError(f"{self._url} sends too slowly to ever finish: try again later")
        return data


class _explained:  # noqa: N801 (a context manager, used like a function)
    """Turns every way in which a conversation fails into one line."""

    def __init__(self, url: CloneUrl, has_credentials: bool) -> None:
        self._url = url
        self._has_credentials = has_credentials

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, (AssayError, OSError)):
            return
        cause = error.__cause__ if isinstance(error, GitProtocolError) and error.__cause__ else error
        if isinstance(cause, HTTPError):
            raise AssayError(_failure_sentence(self._url, cause)) from None
        if isinstance(error, _NONSENSE):
            said = printable(str(error).encode("utf-8", "replace"))[:200]
            raise AssayError(f"{self._url} gives an answer that makes no sense ({said}): try again later") from None


def _failure_sentence(url: CloneUrl, error: HTTPError) -> str:
    host = urlsplit(url.text).netloc
    if isinstance(error, NameResolutionError):
        return f"{host} cannot be found: check the URL and the network"
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)) and not isinstance(error, NewConnectionError):
        return f"{host} does not answer: try again later"
    if isinstance(error, ProxyError):
        return f"the proxy does not let us reach {host}: check HTTPS_PROXY and NO_PROXY"
    if isinstance(error, NewConnectionError):
        return f"{host} refuses the connection: check the URL and the network"
    if isinstance(error, SSLError):
        return f"the certificate of {host} cannot be verified: set ASSAY_CA_BUNDLE where it is your own"
    if isinstance(error, ProtocolError):
        return f"{url} broke off in the middle of its answer: try again"
    return f"{url} cannot be reached ({type(error).__name__}): try again later"


def _status_sentence(url: CloneUrl, status: int, has_credentials: bool) -> str:
    if status == 401:
        refused = "refuses this password" if has_credentials else "needs a password, or does not exist"
        return f"{url} {refused}: set a token that may read it, or check the spelling"
    if status == 403:
        return f"{url} may not be read with these rights: set a token that may read its contents"
    if status in (404, 410):
        return f"there is no repository at {url}: check the spelling"
    if status == 407:
        return "the proxy needs a password: put it into HTTPS_PROXY"
    if status == 429 or status >= 500:
        return f"{url} is not available now (HTTP {status}): try again later"
    return f"{url} answers with HTTP {status}: check the URL"


def _origin_of(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname or "", port or {"http": 80, "https": 443}.get(parts.scheme)


def _pool(url: CloneUrl, ca_bundle: Path | None) -> urllib3.PoolManager:
    """Connections, through the proxy that the environment names."""
    parts = urlsplit(url.text)
    options: dict[str, Any] = {"ca_certs": str(ca_bundle)} if ca_bundle else {}
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return urllib3.PoolManager(**options)
    address = urlsplit(proxy)
    headers = (
        urllib3.make_headers(proxy_basic_auth=f"{address.username}:{address.password}") if address.username else {}
    )
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
