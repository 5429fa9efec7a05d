"""Why there is no connection to GitHub: each cause in its own words."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.github.endpoints import GitHubServer
from bot.github.errors import Unavailable
from bot.github.request import GitHubSession
from tests.simulator.test_server import self_signed


@contextmanager
def listener(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that answers everything with the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    try:
                        if tls is None:
                            connection.recv(65_536)
                            connection.sendall(answer)
                        else:
                            tls.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Hasty(SystemClock):
    async def sleep(self, seconds: float) -> None:
        """Do not wait between attempts."""


def failure(url: str, ca_bundle: Path | None = None) -> str:
    async def get() -> None:
        session = GitHubSession(GitHubServer(url, url, "2022-11-28", ca_bundle), Hasty(), lambda *_: None)
        try:
            await session.get(session.client(None), "/app")
        finally:
            await session.close()

    with pytest.raises(Unavailable) as raised:
        asyncio.run(get())
    return str(raised.value)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_certificate_that_cannot_be_verified_is_named(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with listener(b"", tls) as port:
        said = failure(f"https://127.0.0.1:{port}")
        assert "certificate of 127.0.0.1" in said
        assert "ASSAY_CA_BUNDLE" in said
        assert "not valid for" in failure(f"https://localhost:{port}", certificate)


def test_a_server_without_tls_is_named() -> None:
    with listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "no TLS connection" in failure(f"https://127.0.0.1:{port}")


def test_a_name_that_does_not_exist_is_named() -> None:
    assert "the name of no-such-name.invalid cannot be resolved (DNS)" in failure("https://no-such-name.invalid")


def test_a_refused_connection_is_named() -> None:
    port = closed_port()
    assert f"127.0.0.1:{port} refuses the connection" in failure(f"http://127.0.0.1:{port}")


def test_a_connection_that_is_closed_is_named() -> None:
    with listener(b"") as port:
        assert "closed the connection" in failure(f"http://127.0.0.1:{port}")


def test_a_proxy_is_told_from_github(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://user:hunter2@127.0.0.1:{closed_port()}")
    said = failure("https://github.test")
    assert "the proxy refuses the connection" in said
    assert "hunter2" not in said
    monkeypatch.setenv("https_proxy", "http://no-such-proxy.invalid:3128")
    assert "the name of the proxy cannot be resolved" in failure("https://github.test")
    for status, words in ((b"403 Forbidden", "refuses to connect to"), (b"407 Who", "asks for a user and a password")):
        with listener(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as port:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            assert words in failure("https://github.test")
