"""Try what confinement holds here: `python -I -X utf8 -m bot.sandbox.protections` confines itself and knocks.

Kernels and containers differ in what they offer, and none says reliably what it will enforce.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bot.sandbox.landlock import confine
from bot.sandbox.limits import protect_this_process

PROTECTIONS: Final = ("files", "other processes", "TCP", "UDP", "UNIX sockets", "listening")
TIMEOUT_S: Final = 20.0

_COMMAND: Final = (sys.executable, "-I", "-X", "utf8", "-m", "bot.sandbox.protections")


def try_protections() -> tuple[str, ...]:
    """Return those of PROTECTIONS that do not hold for a child on this machine."""
    try:
        done = subprocess.run(_COMMAND, env={}, capture_output=True, timeout=TIMEOUT_S, check=True)
        held = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        held = None
    return tuple(name for name in PROTECTIONS if not isinstance(held, dict) or held.get(name) is not True)


def _refused(act: Callable[[], object]) -> bool:
    """Return whether the kernel refuses it."""
    try:
        act()
    except OSError:
        return True
    return False


def _knock() -> None:
    """Print which attempts of a confined child to get out were refused."""
    parent = os.getppid()
    with tempfile.TemporaryDirectory() as name, socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        root = Path(name)
        (root / "outside").write_text("x")
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(root / "socket"))
            for listening in (tcp, udp):
                listening.bind(("127.0.0.1", 0))
            for listening in (tcp, unix):
                listening.listen()
            attempts: dict[str, Callable[[], object]] = {
                "files": (root / "outside").read_text,
                "other processes": Path(f"/proc/{parent}/environ").read_bytes,
                "TCP": lambda: socket.create_connection(tcp.getsockname(), 2).close(),
                "UDP": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", udp.getsockname()),
                "UNIX sockets": lambda: socket.socket(socket.AF_UNIX).connect(str(root / "socket")),
                "listening": lambda: socket.create_server(("127.0.0.1", 0)).close(),
            }
            child = os.fork()
            if child == 0:
                protect_this_process()
                confine(root / "folder")
                print(json.dumps({name: _refused(act) for name, act in attempts.items()}), flush=True)
                os._exit(0)
            os.waitpid(child, 0)


if __name__ == "__main__":
    _knock()
