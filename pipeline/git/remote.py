"""A git server behind http or https: what its default branch is, and a pack of what we lack.

dulwich speaks the protocol. Nothing that the server says is trusted, and every way to fail becomes one line that says
what to do. Credentials travel in a header and nowhere else.
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
from pipeline.git.http import MOST_TALK_BYTES, Credentials, HttpClient, connections
from pipeline.git.url import CloneUrl
from pipeline.records import AssayError, printable

_HEAD: Final = b"HEAD"
_ID: Final = re.compile(rb"[0-9a-f]{40}")
# What dulwich raises on answers that make no sense.
_NONSENSE: Final = (
    GitProtocolError,
    HangupException,
    ValueError,
    AssertionError,
    LookupError,
)


@dataclass(frozen=True)
class RemoteHead:
    """The head of the default branch. `ref` is empty where the server's HEAD names no branch."""

    id: bytes  # 20 bytes
    ref: bytes  # b"refs/heads/main"


class Remote:
    """One conversation with a server. Close it, or use it in a `with` statement."""

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
        self._client = HttpClient(url, credentials, timeout_s, connections(url, ca_bundle, proxies), clock)

    def close(self) -> None:
        self._client.pool_manager.clear()

    def head(self) -> RemoteHead:
        """The head of the default branch. Raises AssayError."""
        with _explained(self.url):
            answer = self._client.get_refs("", ref_prefix=[_HEAD])
            return self._read_head(answer.refs, answer.symrefs)

    def receive(self, wanted: bytes, have: list[bytes], write: Callable[[bytes], None], most_bytes: int | None) -> None:
        """Write a pack of everything that `wanted` reaches and `have` does not. Ids are 20 bytes. Raises AssayError."""
        quota = _Quota(self.url, write, most_bytes)
        self._client.most_bytes = None if most_bytes is None else most_bytes + MOST_TALK_BYTES
        with _explained(self.url):
            self._client.fetch_pack(
                b"",
                lambda refs, depth=None: [ObjectID(wanted.hex().encode())],
                _Haves(have),
                quota.write,
                ref_prefix=[_HEAD],
            )

    def _read_head(self, refs: Mapping[Ref, ObjectID | None], symrefs: Mapping[Ref, Ref]) -> RemoteHead:
        id = refs.get(Ref(_HEAD))
        ref = symrefs.get(Ref(_HEAD), b"")
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

    def __next__(self) -> ObjectID | None:
        id = next(self._ids, None)
        return None if id is None else ObjectID(id.hex().encode())

    def ack(self, sha: ObjectID) -> None:
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
            raise TooLarge(
                f"{self._url} is larger than the limit of {self._most_bytes / 1e6:,.0f} MB: raise the limit, "
                "or clone it yourself and give the path"
            )
        self._write(data)
        return len(data)


@contextlib.contextmanager
def _explained(url: CloneUrl) -> Iterator[None]:
    """Turns every way in which a conversation fails into one line."""
    try:
        yield
    except (HTTPError, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise Unavailable(_failure_sentence(url, error)) from None
    except _NONSENSE as error:
        cause = error.__cause__
        if isinstance(cause, (HTTPError, ConnectionError, TimeoutError)):
            raise Unavailable(_failure_sentence(url, cause)) from None
        said = printable(str(error).encode("utf-8", "replace"))[:200]
        raise AssayError(f"{url} gives an answer that makes no sense ({said}): try again later") from None


def _failure_sentence(url: CloneUrl, error: BaseException) -> str:
    host = urlsplit(url.text).netloc
    if isinstance(error, NameResolutionError):
        return f"{host} cannot be found: check the URL and the network"
    if isinstance(error, ProxyError):
        return f"the proxy does not let us reach {host}: check HTTPS_PROXY and NO_PROXY"
    if isinstance(error, NewConnectionError):
        return f"{host} refuses the connection: check the URL and the network"
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError, TimeoutError)):
        return f"{host} does not answer: try again later"
    if isinstance(error, (SSLError, ssl.SSLError)):
        return f"the certificate of {host} cannot be verified: set ASSAY_CA_BUNDLE where it is your own"
    if isinstance(error, (ProtocolError, ConnectionError)):
        return f"{url} broke off in the middle of its answer: try again"
    return f"{url} cannot be reached ({type(error).__name__}): try again later"
