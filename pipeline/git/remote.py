"""Client of a git server over HTTP: look up the head of the default branch, and receive a pack of new commits.

dulwich implements the protocol. No data from the server is trusted, and every failure becomes one line that says what
to do. Credentials are sent in a header and stored nowhere.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dulwich.errors import GitProtocolError, HangupException
from dulwich.objects import ObjectID
from dulwich.refs import Ref
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

from pipeline.git.errors import TooLarge, Unavailable
from pipeline.git.http import MAX_OVERHEAD_BYTES, Credentials, HttpClient, connection_pool
from pipeline.git.url import CloneUrl
from pipeline.records import AssayError, printable

_HEAD: Final = b"HEAD"
_ID: Final = re.compile(rb"[0-9a-f]{40}")
# Raised by dulwich on invalid responses.
_PROTOCOL_ERRORS: Final = (
    GitProtocolError,
    HangupException,
    ValueError,
    AssertionError,
    LookupError,
)


@dataclass(frozen=True)
class RemoteHead:
    """The head of the default branch. `ref` is empty if the server's HEAD names no branch."""

    id: bytes  # 20 bytes
    ref: bytes  # b"refs/heads/main"


class Remote:
    """A connection to a server. Close it after use."""

    def __init__(
        self,
        url: CloneUrl,
        *,
        credentials: Credentials | None = None,
        timeout_s: float = 60,
        ca_bundle: Path | None = None,
        proxies: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._client = HttpClient(url, credentials, timeout_s, connection_pool(url, ca_bundle, proxies), clock)

    def close(self) -> None:
        self._client.pool_manager.clear()

    def head(self) -> RemoteHead:
        """Return the head of the default branch. Raises AssayError."""
        with _translated_errors(self.url):
            response = self._client.get_refs("", ref_prefix=[_HEAD])
            return self._parse_head(response.refs, response.symrefs)

    def receive(self, wanted: bytes, have: list[bytes], write: Callable[[bytes], None], max_bytes: int | None) -> None:
        """Write a pack of everything that `wanted` reaches and `have` does not. Ids are 20 bytes. Raises AssayError."""
        quota = _Quota(self.url, write, max_bytes)
        self._client.max_bytes = None if max_bytes is None else max_bytes + MAX_OVERHEAD_BYTES
        with _translated_errors(self.url):
            self._client.fetch_pack(
                b"",
                lambda refs, depth=None: [ObjectID(wanted.hex().encode())],
                _Haves(have),
                quota.write,
                ref_prefix=[_HEAD],
            )

    def _parse_head(self, refs: Mapping[Ref, ObjectID | None], symrefs: Mapping[Ref, Ref]) -> RemoteHead:
        id = refs.get(Ref(_HEAD))
        ref = symrefs.get(Ref(_HEAD), b"")
        if id is None:
            raise AssayError(f"{self.url} is empty: its default branch has no commits yet")
        if len(id) == 64:
            raise AssayError(f"{self.url} uses the SHA-256 object format, which assay does not support")
        if not _ID.fullmatch(id) or not (ref == b"" or is_branch(ref)):
            raise AssayError(f"{self.url} sent an invalid head ({printable(ref[:80])}): try again later")
        return RemoteHead(bytes.fromhex(id.decode()), ref)


def is_branch(ref: bytes) -> bool:
    """Return whether a ref is a branch whose name is safe to store."""
    return (
        ref.startswith(b"refs/heads/")
        and len(ref) < 1024
        and re.search(rb"[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|/$|@\{", ref) is None
    )


class _Haves:
    """The stored commits in the form that dulwich expects (`GraphWalker`)."""

    def __init__(self, ids: list[bytes]) -> None:
        self._ids = iter(ids)

    def __next__(self) -> ObjectID | None:
        id = next(self._ids, None)
        return None if id is None else ObjectID(id.hex().encode())

    def ack(self, sha: ObjectID) -> None:
        """The server has the commit too: nothing to do, since all are sent anyway."""

    def nak(self) -> None:
        """The server has none of the commits: it sends everything."""


class _Quota:
    """A writer that stops at a size limit."""

    def __init__(self, url: CloneUrl, write: Callable[[bytes], None], max_bytes: int | None) -> None:
        self._url = url
        self._write = write
        self._max_bytes = max_bytes
        self._written_bytes = 0

    def write(self, data: bytes) -> int:
        self._written_bytes += len(data)
        if self._max_bytes is not None and self._written_bytes > self._max_bytes:
            raise TooLarge(
                f"{self._url} is larger than the limit of {self._max_bytes / 1e6:,.0f} MB: raise the limit, "
                "or clone it yourself and give the path"
            )
        self._write(data)
        return len(data)


@contextlib.contextmanager
def _translated_errors(url: CloneUrl) -> Iterator[None]:
    """Turn every failure of a connection into an AssayError of one line."""
    try:
        yield
    except (HTTPError, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise Unavailable(_describe_failure(url, error)) from None
    except _PROTOCOL_ERRORS as error:
        cause = error.__cause__
        if isinstance(cause, (HTTPError, ConnectionError, TimeoutError)):
            raise Unavailable(_describe_failure(url, cause)) from None
        detail = printable(str(error).encode("utf-8", "replace"))[:200]
        raise AssayError(f"{url} sent an invalid response ({detail}): try again later") from None


def _describe_failure(url: CloneUrl, error: BaseException) -> str:
    host = urlsplit(url.text).netloc
    if isinstance(error, NameResolutionError):
        return f"{host} cannot be found: check the URL and the network"
    if isinstance(error, ProxyError):
        return f"the proxy blocks {host}: check HTTPS_PROXY and NO_PROXY"
    if isinstance(error, NewConnectionError):
        return f"{host} refuses the connection: check the URL and the network"
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError, TimeoutError)):
        return f"{host} does not respond: try again later"
    if isinstance(error, (SSLError, ssl.SSLError)):
        causes = [cause for cause in (error, *error.args) if isinstance(cause, ssl.SSLError)]
        if causes and not any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return f"{host} showed no certificate: it does not speak https there, check the URL and its port"
        return f"the certificate of {host} cannot be verified: if it is your own, set ASSAY_CA_BUNDLE"
    if isinstance(error, (ProtocolError, ConnectionError)):
        return f"{url} closed the connection too early: try again"
    return f"{url} cannot be reached ({type(error).__name__}): try again later"
