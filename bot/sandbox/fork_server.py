"""Fork server for screening children: `python -I -X utf8 -m bot.sandbox.fork_server`, started by Supervisor.

It imports the pipeline once and forks a child per task, which takes milliseconds where a new interpreter takes half a
second. Its standard input is a socket to the worker; both sides exchange JSON lines on it:

worker -> fork server   {"start": 7, "limits": {...}} with the child's socket attached; {"kill": 7}
fork server -> worker   {"ready": true}; {"ended": 7, "exit_code": 0, "cpu_s": 0.1, "peak_mb": 80.0}; {"failed": 7}

The task, and the token in it, go through the child's socket and never through this process. When the worker ends, so
does the fork server; when the fork server ends, so does every child.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
from collections import deque
from typing import Any

from bot.sandbox.limits import OUT_OF_MEMORY, Limits, die_with_parent, limit_this_process, protect_this_process

MAX_SOCKETS_PER_MESSAGE = 16
_CONTROL, _FIRST_FREE = 0, 3


class ForkServer:
    """Forks children, kills them on request and reports how each ended."""

    def __init__(self, control: socket.socket, sigchld: socket.socket) -> None:
        self._control = control
        self._sigchld = sigchld  # readable when a child ended
        self._pids: dict[int, int] = {}  # by task number
        self._sockets: deque[int] = deque()  # received, each for a "start" that follows
        self._buffer = b""

    def serve(self) -> None:
        """Handle messages until the worker closes the socket."""
        while True:
            ready, _, _ = select.select([self._control, self._sigchld], [], [])
            if self._sigchld in ready:
                self._sigchld.recv(4_096)
                self._reap()
            if self._control in ready and not self._receive():
                return

    def kill_all(self) -> None:
        """Kill every child."""
        for pid in self._pids.values():
            _kill(pid)

    def _receive(self) -> bool:
        data, sockets, _, _ = socket.recv_fds(self._control, 65_536, MAX_SOCKETS_PER_MESSAGE)
        self._sockets.extend(sockets)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._handle(json.loads(line))
        return bool(data)

    def _handle(self, message: dict[str, Any]) -> None:
        if "start" in message:
            self._start(message["start"], Limits.parse(message["limits"]))
        elif message["kill"] in self._pids:
            _kill(self._pids[message["kill"]])

    def _start(self, number: int, limits: Limits) -> None:
        connection = self._sockets.popleft()
        server_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(connection)
            self._send({"failed": number})
            return
        if pid == 0:
            _run_child(connection, limits, server_pid)
        os.close(connection)
        self._pids[number] = pid

    def _reap(self) -> None:
        for number, pid in list(self._pids.items()):
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if ended:
                del self._pids[number]
                unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
                self._send(
                    {
                        "ended": number,
                        "exit_code": os.waitstatus_to_exitcode(status),
                        "cpu_s": used.ru_utime + used.ru_stime,
                        "peak_mb": used.ru_maxrss / unit,
                    }
                )

    def _send(self, message: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")


def _kill(pid: int) -> None:
    """Kill a child's process group. The child must not have been reaped: its id could belong to another process."""
    for kill in (os.killpg, os.kill):  # a child that was just forked has no process group yet
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def _run_child(connection: int, limits: Limits, server_pid: int) -> None:
    """Run one task in the forked process. Never returns, and runs no cleanup handlers of the fork server."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        die_with_parent(server_pid)
        protect_this_process()
        limit_this_process(limits)
        kept = _close_all_but(connection)
        from bot.sandbox.landlock import confine_files, leave_network, reach_only  # both were imported before the fork
        from bot.sandbox.screening_child import Network, run_task

        run_task(kept, limits, confine_files, Network(reach_only, leave_network))
        code = 0
    except MemoryError:
        code = OUT_OF_MEMORY
    finally:
        os._exit(code)


def _close_all_but(connection: int) -> socket.socket:
    """Close every other descriptor, and redirect standard input, output and error to /dev/null."""
    devnull = os.open(os.devnull, os.O_RDWR)
    if connection != _FIRST_FREE:
        if devnull == _FIRST_FREE:
            devnull = os.dup(devnull)
        os.dup2(connection, _FIRST_FREE)
    for standard in (0, 1, 2):
        os.dup2(devnull, standard)
    os.closerange(_FIRST_FREE + 1, os.sysconf("SC_OPEN_MAX"))
    return socket.socket(fileno=_FIRST_FREE)


def _warm_up() -> None:
    """Import and build everything that a screening needs before the first fork."""
    os.putenv("OPENBLAS_NUM_THREADS", "1")  # for numpy: a process that forks must have a single thread
    from bot.sandbox import landlock, screening_child  # noqa: F401
    from pipeline.label_recipe import MESSAGES
    from pipeline.records import FunctionHistory
    from pipeline.screening.density import measure_density
    from pipeline.syntax.grammars import docstring_query, outline_query, parser
    from pipeline.syntax.languages import LANGUAGES

    any_function = FunctionHistory("a.py", "f", 0, "python", 1, 3, "", 1.0, 1, 1)
    "localhost".encode("idna")  # imports the codec
    measure_density([any_function], frozenset(), MESSAGES)  # numpy imports its random number module on first use
    for language in LANGUAGES:
        parser(language)
        outline_query(language)
        docstring_query(language)
    gc.set_threshold(20_000, 20, 50)  # mining allocates many small objects and no cycles
    gc.collect()
    gc.freeze()


def main() -> None:
    """Serve until the worker is gone, then kill the children."""
    die_with_parent(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=_CONTROL)
    _warm_up()
    sigchld, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    server = ForkServer(control, sigchld)
    try:
        control.sendall(b'{"ready": true}\n')
        server.serve()
    except ConnectionError:  # the worker is gone
        pass
    finally:
        server.kill_all()


if __name__ == "__main__":
    main()
