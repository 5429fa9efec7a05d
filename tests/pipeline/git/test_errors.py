"""The kinds of clone errors: retry later, other credentials, too large, disk full, or permanent."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from pipeline.git.clone import clone_or_fetch, is_damaged, parse_url
from pipeline.git.errors import DiskFull, FileTooLarge, Missing, Refused, TooLarge, Unavailable
from pipeline.records import AssayError
from tests.builders.history import History
from tests.rows import each_row
from tests.simulator.git_server import Fault, GitServer, cut_after, redirect, serve_git, stall, status

NO_PROXY: dict[str, str] = {}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    history = History()
    history.commit("start", {"noise": Random(1).randbytes(20_000)})
    history.write(tmp_path / "root" / "ada" / "code.git")
    with serve_git(tmp_path / "root", token="right") as served:
        yield served


def clone(server: GitServer | str, into: Path, password: str = "right", **options) -> Path:
    url = parse_url(f"{server}/ada/code.git")
    return clone_or_fetch(url, into / "code.git", credentials=("x-access-token", password), proxies=NO_PROXY, **options)


@each_row(
    ("fault", "kind"),
    [
        (status(401), Refused),
        (status(403), Refused),
        (status(404), Missing),
        (status(410), Missing),
        (status(429), Unavailable),
        (status(500), Unavailable),
        (status(503), Unavailable),
        (cut_after(20, of="info/refs"), Unavailable),
        (cut_after(30), Unavailable),
        (status(418), AssayError),
        (status(200), AssayError),
        (redirect("https://elsewhere.invalid/"), AssayError),
    ],
)
def test_each_failure_has_its_kind(server: GitServer, tmp_path: Path, fault: Fault, kind: type[AssayError]) -> None:
    server.fault = fault
    with pytest.raises(AssayError) as caught:
        clone(server, tmp_path)
    assert type(caught.value) is kind


def test_a_wrong_token_is_rejected(server: GitServer, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        clone(server, tmp_path, "wrong")


def test_a_server_that_does_not_respond_is_unavailable(server: GitServer, tmp_path: Path) -> None:
    server.fault = stall(server)
    with pytest.raises(Unavailable):
        clone(server, tmp_path, timeout_s=0.2)


def test_a_refused_connection_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        clone("http://127.0.0.1:9", tmp_path)


def test_a_pack_over_the_limit_is_too_large(server: GitServer, tmp_path: Path) -> None:
    with pytest.raises(TooLarge) as caught:
        clone(server, tmp_path, max_bytes=10_000)
    assert type(caught.value) is TooLarge


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EFBIG, FileTooLarge), (errno.EACCES, AssayError)],
)
def test_a_full_disk_is_distinguished_from_a_file_that_grew_too_large(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[AssayError]
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pipeline.git.clone.os.fsync", fail)
    with pytest.raises(AssayError) as caught:
        clone(server, tmp_path)
    assert type(caught.value) is kind


def test_the_given_proxy_is_used_except_for_excluded_hosts(server: GitServer, tmp_path: Path) -> None:
    url, password = parse_url(f"{server}/ada/code.git"), ("x-access-token", "right")
    nobody = {"http": "http://127.0.0.1:9"}
    with pytest.raises(Unavailable, match="the proxy blocks"):
        clone_or_fetch(url, tmp_path / "a.git", credentials=password, proxies=nobody)
    clone_or_fetch(url, tmp_path / "b.git", credentials=password, proxies={**nobody, "no": "127.0.0.1"})


def test_the_refs_of_a_server_are_requested_once(server: GitServer, tmp_path: Path) -> None:
    clone(server, tmp_path)
    assert len(server.requests) == 3  # capabilities, head, pack


@each_row("ending", [".pack", ".idx"])
@each_row("at", [0, 500, -1])
def test_one_flipped_bit_is_damage(server: GitServer, tmp_path: Path, ending: str, at: int) -> None:
    stored = clone(server, tmp_path / f"{at}{ending}")
    assert not is_damaged(stored)
    (path,) = stored.glob(f"objects/pack/*{ending}")
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    assert is_damaged(stored)


def test_a_truncated_or_missing_file_is_damage(server: GitServer, tmp_path: Path) -> None:
    assert is_damaged(tmp_path / "nothing.git")
    stored = clone(server, tmp_path)
    (path,) = stored.glob("objects/pack/*.pack")
    path.chmod(0o644)
    path.write_bytes(b"PACK")
    assert is_damaged(stored)
