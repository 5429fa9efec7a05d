"""Run screenings in child processes: a task goes in, a measurement or a failure comes out.

A ranking may follow the measurement; if it fails, the measurement stands. The input file of a fine-tuning run is built
in the same way: the child writes it into the repository's folder.

worker ── control socket ── fork server (imports once) ── forks ── child (one repository)
   └────────────── one socket per child ────────────────────────────┘
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from bot.sandbox.child_replies import (
    MAX_REPLY_BYTES,
    Progress,
    exchange,
    ignore_progress,
    parse_reply,
    receive_measurement,
    receive_ranking,
    within_time,
)
from bot.sandbox.limits import Ending
from bot.sandbox.pair_task import PairResult, load_pair_result
from bot.sandbox.screening_task import DAMAGED, Screened, ScreeningFailed, ScreeningTask

__all__ = ["Screened", "ScreeningFailed", "ScreeningTask", "Supervisor"]

START_WITHIN_S: Final = 60.0
END_WITHIN_S: Final = 10.0  # after a kill: a child, and the fork server

_COMMAND: Final = (sys.executable, "-I", "-X", "utf8", "-m", "bot.sandbox.fork_server")
_INTERRUPTED: Final = "the process that starts screenings ended: the screening is started again"

T = TypeVar("T")
_Child = tuple[asyncio.StreamReader, asyncio.StreamWriter, "asyncio.Future[Ending]", float]  # float: its deadline


class Supervisor:
    """Screens repositories in child processes. Start and use it in one event loop, and close it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._endings: dict[int, asyncio.Future[Ending]] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def pid(self) -> int:
        """The fork server's process id; 0 while none runs."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start the fork server unless it is running. Raises ScreeningFailed if it cannot be started."""
        async with self._starting:
            if self._receiver is not None and not self._receiver.done():
                return
            await self._clear()
            ours, theirs = socket.socketpair()
            try:
                # From this thread, which lasts: the kernel kills the fork server with the thread that started it.
                self._process = subprocess.Popen(_COMMAND, stdin=theirs.fileno(), env={}, start_new_session=True)
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            ours.setblocking(False)
            self._control = ours
            ready = asyncio.get_running_loop().create_future()
            self._receiver = asyncio.create_task(self._receive(ours, ready))
            try:
                await asyncio.wait_for(ready, START_WITHIN_S)
            except BaseException as error:
                await self._clear()
                if isinstance(error, TimeoutError | ScreeningFailed):
                    raise ScreeningFailed("interrupted", "the process that starts screenings does not start") from None
                raise

    async def close(self) -> None:
        """Kill the fork server and with it every child."""
        async with self._starting:
            await self._clear()

    async def screen(self, task: ScreeningTask, progress: Progress = ignore_progress) -> Screened:
        """Clone or fetch, measure and rank in a child. Returns only after the child ended; cancelling kills it.

        Raises ScreeningFailed.
        """

        async def attempt(task: ScreeningTask) -> Screened:
            async with self._child(task) as (reader, writer, ending, ends_at):
                receiving = receive_measurement(task, reader, writer, ending, progress)
                measurement = await within_time(task, ends_at, receiving)
                return await receive_ranking(task, measurement, reader, ends_at, progress)

        return await _with_sound_clone(task, attempt)

    async def prepare_pairs(self, task: ScreeningTask, progress: Progress = ignore_progress) -> PairResult:
        """Clone or fetch, and write the file of `task.pair_task`, in the same way. Raises ScreeningFailed."""

        async def attempt(task: ScreeningTask) -> PairResult:
            async with self._child(task) as (reader, writer, ending, ends_at):
                reply = await within_time(task, ends_at, exchange(task, reader, writer, ending, progress))
                return parse_reply(reply, "pair_result", load_pair_result)

        return await _with_sound_clone(task, attempt)

    @contextlib.asynccontextmanager
    async def _child(self, task: ScreeningTask) -> AsyncIterator[_Child]:
        """Fork a child for the context; afterwards it has ended."""
        await self.start()
        number = next(self._numbers)
        reader, writer = await self._fork(number, task)
        ending = self._endings[number] = asyncio.get_running_loop().create_future()
        try:
            yield reader, writer, ending, asyncio.get_running_loop().time() + task.wall_s
        finally:
            writer.close()
            await self._end(number, ending)

    async def _fork(self, number: int, task: ScreeningTask) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Request a child and return our end of its socket."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_REPLY_BYTES)
            except BaseException:
                ours.close()
                raise
            try:
                await self._send({"start": number, "limits": dataclasses.asdict(task.limits)}, theirs)
            except BaseException:
                writer.close()
                raise
        return reader, writer

    async def _end(self, number: int, ending: asyncio.Future[Ending]) -> None:
        """Wait until a child ended; kill it first if it is still running."""
        try:
            if not ending.done():
                with contextlib.suppress(ScreeningFailed):
                    await self._send({"kill": number})
                await asyncio.wait([ending], timeout=END_WITHIN_S)
        finally:
            del self._endings[number]
            if ending.done():
                ending.exception()  # mark it as retrieved: the caller of `exchange` has raised it

    async def _send(self, message: dict[str, Any], attached: socket.socket | None = None) -> None:
        line = json.dumps(message).encode() + b"\n"
        while self._control is not None:
            try:
                socket.send_fds(self._control, [line], [attached.fileno()] if attached else [])
                return
            except BlockingIOError:  # lines are far shorter than the socket's buffer, so nothing was sent
                await asyncio.sleep(0.01)
            except OSError:
                break
        raise ScreeningFailed("interrupted", _INTERRUPTED)

    async def _receive(self, control: socket.socket, ready: asyncio.Future[None]) -> None:
        """Handle the fork server's messages until it ends."""
        loop, buffer = asyncio.get_running_loop(), b""
        try:
            while data := await loop.sock_recv(control, 65_536):
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    self._handle(json.loads(line), ready)
        except OSError:
            pass
        finally:
            waiting: list[asyncio.Future[Any]] = [ready, *self._endings.values()]
            for future in waiting:
                if not future.done():
                    future.set_exception(ScreeningFailed("interrupted", _INTERRUPTED))

    def _handle(self, message: dict[str, Any], ready: asyncio.Future[None]) -> None:
        if "ready" in message:
            ready.set_result(None)
            return
        ending = self._endings.get(message["ended"] if "ended" in message else message["failed"])
        if ending is None or ending.done():
            return
        if "failed" in message:
            ending.set_exception(ScreeningFailed("interrupted", "no process could be started for it"))
        else:
            ending.set_result(Ending(message["exit_code"], message["cpu_s"], message["peak_mb"]))

    async def _clear(self) -> None:
        """Kill the process, if one runs, and release everything that belongs to it."""
        process, self._process = self._process, None
        control, self._control = self._control, None
        receiver, self._receiver = self._receiver, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait, END_WITHIN_S)
        if receiver is not None:
            receiver.cancel()
            await asyncio.wait([receiver])
        if control is not None:
            control.close()


async def _with_sound_clone(task: ScreeningTask, attempt: Callable[[ScreeningTask], Awaitable[T]]) -> T:
    """Return what an attempt returns; if its stored clone is damaged, that of another child that clones again."""
    try:
        return await attempt(task)
    except ScreeningFailed as failed:
        if failed.sentence != DAMAGED or task.from_scratch:
            raise
    return await attempt(dataclasses.replace(task, from_scratch=True))
