"""What a child reaches on the network: the ports of its clone while it clones, and nothing once it parses."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.sandbox import protections
from bot.sandbox.protections import PROTECTIONS, try_protections
from bot.sandbox.screening_task import ScreeningTask
from tests.rows import each_row

PHASES = """
import json, os, socket, sys, threading
from pathlib import Path
from bot.sandbox.landlock import confine_files, leave_network, reach_only
from bot.sandbox.limits import protect_this_process

folder, allowed, other, unix, udp = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\\0" + folder.name)
abstract.listen()
ours, theirs = socket.socketpair()

def outcome(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "reached"

def knock():
    return {
        "allowed": outcome(lambda: socket.create_connection(("127.0.0.1", allowed), 5)),
        "other": outcome(lambda: socket.create_connection(("127.0.0.1", other), 5)),
        "unix": outcome(lambda: socket.socket(socket.AF_UNIX).connect(unix)),
        "abstract": outcome(lambda: socket.socket(socket.AF_UNIX).connect("\\0" + folder.name)),
        "udp": outcome(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", udp))),
        "listen": outcome(lambda: socket.create_server(("127.0.0.1", 0))),
        "raw": outcome(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
        "exec": outcome(lambda: os.execv("/bin/true", ["true"])),
        "name": outcome(lambda: socket.getaddrinfo("localhost", 80)),
        "own": outcome(lambda: (ours.sendall(b"x"), theirs.recv(1))),
        "thread": outcome(lambda: (each := threading.Thread(target=str), each.start(), each.join())),
    }

protect_this_process()
if not confine_files(folder / "own"):
    sys.exit("this system has no Landlock")
before = outcome(lambda: socket.create_connection(("127.0.0.1", other), 5))
reach_only([allowed])
fetching = knock()
kept = socket.create_connection(("127.0.0.1", allowed), 5)
leave_network()
print(json.dumps({"before": before, "fetching": fetching, "parsing": knock()}))
"""


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    folder = tmp_path_factory.mktemp("network")
    with contextlib.ExitStack() as stack:
        allowed, other = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(folder / "socket"))
        unix.listen()
        udp = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        ports = [str(each.getsockname()[1]) for each in (allowed, other)]
        yield [str(folder), *ports, str(folder / "socket"), str(udp.getsockname()[1])]


def test_a_child_reaches_the_ports_of_its_clone_and_then_nothing(listening: list[str]) -> None:
    missing = try_protections()
    if missing:
        pytest.skip(f"this system does not hold {', '.join(missing)}")
    done = subprocess.run([sys.executable, "-c", PHASES, *listening], capture_output=True, text=True, check=True)
    outcomes = json.loads(done.stdout)
    refused, reached = "PermissionError", "reached"
    assert outcomes["before"] == reached
    never = dict.fromkeys(("other", "unix", "abstract", "listen", "raw", "exec"), refused)
    always = dict.fromkeys(("name", "own", "thread"), reached)
    assert outcomes["fetching"] == never | always | {"allowed": reached, "udp": reached}
    assert outcomes["parsing"] == never | always | {"allowed": refused, "udp": refused}


@each_row(
    ("url", "proxies", "ports"),
    [
        ("https://github.com/ada/code", {}, (53, 443)),
        ("https://ghes.example:8443/ada/code", {}, (53, 8443)),
        ("http://ghes.example/ada/code", {}, (53, 80, 443)),  # may be redirected to https
        ("https://github.com/ada/code", {"HTTPS_PROXY": "http://user:word@proxy:3128"}, (53, 443, 3128)),
        ("https://github.com/ada/code", {"HTTPS_PROXY": "proxy:3128"}, (53, 443, 3128)),
        ("https://github.com/ada/code", {"HTTPS_PROXY": "http://proxy"}, (53, 80, 443)),
        ("https://github.com/ada/code", {"HTTPS_PROXY": "http://proxy:nonsense"}, (53, 443)),
    ],
)
def test_the_ports_are_those_of_the_server_the_proxy_and_dns(
    url: str, proxies: dict[str, str], ports: tuple[int, ...]
) -> None:
    task = ScreeningTask(url="https://github.com/ada/code", folder=Path("/nowhere"), max_pack_bytes=1)
    assert replace(task, url=url, proxies=proxies).ports == ports


def test_where_the_attempt_itself_fails_nothing_is_said_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ((sys.executable, "-c", "raise SystemExit(1)"), (sys.executable, "-c", "print(7)"), ("/nowhere",)):
        monkeypatch.setattr(protections, "_COMMAND", command)
        assert try_protections() == PROTECTIONS
