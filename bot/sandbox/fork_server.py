"""The process that starts the children of screenings: `python -I -X utf8 -m bot.sandbox.fork_server` (by Supervisor).

It imports the pipeline once and forks a child for each order, which costs milliseconds where a new interpreter would
cost half a second. Its standard input is a socket to the worker; both sides speak JSON lines on it:

worker  -> supervisor   {"start": 7, "limits": {...}} with the child's own socket attached; {"kill": 7}
supervisor -> worker    {"ready": true}; {"ended": 7, "exit_code": 0, "cpu_s": 0.1, "peak_mb": 80.0}; {"failed": 7}

The order itself, and the token in it, go through the child's socket and never through here. The end of the worker
is the end of the supervisor, and the end of the supervisor is the end of every child.
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

MOST_SOCKETS_AT_ONCE = 16
_CONTROL, _FIRST_FREE = 0, 3


class ForkServer:
    """Starts children, ends them when told to, and says how each ended."""

    def __init__(self, control: socket.socket, woken: socket.socket) -> None:
        self._control = control
        self._woken = woken  # readable when a child ended
        self._pids: dict[int, int] = {}  # by number of the order
        self._sockets: deque[int] = deque()  # received, each for a "start" that follows
        self._heard = b""

    def serve(self) -> None:
        """Until the worker is gone."""
        while True:
            ready, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in ready:
                self._woken.recv(4_096)
                self._reap()
            if self._control in ready and not self._listen():
                return

    def end_all(self) -> None:
        for pid in self._pids.values():
            _kill(pid)

    def _listen(self) -> bool:
        data, sockets, _, _ = socket.recv_fds(self._control, 65_536, MOST_SOCKETS_AT_ONCE)
        self._sockets.extend(sockets)
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(data)

    def _obey(self, message: dict[str, Any]) -> None:
        if "start" in message:
            self._start(message["start"], Limits.parse(message["limits"]))
        elif message["kill"] in self._pids:
            _kill(self._pids[message["kill"]])

    def _start(self, number: int, limits: Limits) -> None:
        connection = self._sockets.popleft()
        supervisor = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(connection)
            self._say({"failed": number})
            return
        if pid == 0:
            _be_a_child(connection, limits, supervisor)
        os.close(connection)
        self._pids[number] = pid

    def _reap(self) -> None:
        for number, pid in list(self._pids.items()):
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if ended:
                del self._pids[number]
                unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
                self._say(
                    {
                        "ended": number,
                        "exit_code": os.waitstatus_to_exitcode(status),
                        "cpu_s": used.ru_utime + used.ru_stime,
                        "peak_mb": used.ru_maxrss / unit,
                    }
                )

    def _say(self, message: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")


def _kill(pid: int) -> None:
    """The whole group of a child that has not been reaped, so that its id is still its own."""
    for kill in (os.killpg, os.kill):  # a child that has just been forked has no group of its own yet
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def _be_a_child(connection: int, limits: Limits, supervisor: int) -> None:
    """What happens after the fork; never returns, and runs no cleanup that belongs to the supervisor."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        die_with_parent(supervisor)
        protect_this_process()
        limit_this_process(limits)
        own = _keep_only(connection)
        from bot.sandbox.landlock import confine  # both were imported before the fork
        from bot.sandbox.screening_child import answer

        answer(own, limits, confine)
        code = 0
    except MemoryError:
        code = OUT_OF_MEMORY
    finally:
        os._exit(code)


def _keep_only(connection: int) -> socket.socket:
    """Close every other file: standard input, output and error become /dev/null."""
    nothing = os.open(os.devnull, os.O_RDWR)
    if connection != _FIRST_FREE:
        if nothing == _FIRST_FREE:
            nothing = os.dup(nothing)
        os.dup2(connection, _FIRST_FREE)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(_FIRST_FREE + 1, os.sysconf("SC_OPEN_MAX"))
    return socket.socket(fileno=_FIRST_FREE)


def _warm_up() -> None:
    """Import and build everything that a screening needs, so that no child has to."""
    os.putenv("OPENBLAS_NUM_THREADS", "1")  # for numpy: what forks must not have threads
    from bot.sandbox import landlock, screening_child  # noqa: F401
    from pipeline.label_recipe import MESSAGES
    from pipeline.records import FunctionHistory
    from pipeline.screening.density import measure_density
    from pipeline.syntax.grammars import docstring_query, outline_query, parser
    from pipeline.syntax.languages import LANGUAGES

    any_function = FunctionHistory("a.py", "f", 0, "python", 1, 3, "", 1.0, 1, 1)
    "localhost".encode("idna")  # so does this
    measure_density([any_function], frozenset(), MESSAGES)  # numpy imports its random numbers when first asked
    for language in LANGUAGES:
        parser(language)
        outline_query(language)
        docstring_query(language)
    gc.set_threshold(20_000, 20, 50)  # mining makes many small values and no cycles
    gc.collect()
    gc.freeze()


def main() -> None:
    die_with_parent(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=_CONTROL)
    _warm_up()
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    server = ForkServer(control, woken)
    try:
        control.sendall(b'{"ready": true}\n')
        server.serve()
    except ConnectionError:  # the worker is gone
        pass
    finally:
        server.end_all()


if __name__ == "__main__":
    main()
