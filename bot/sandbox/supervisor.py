"""The worker's side of screenings in child processes: an order goes in, a measurement or a reason comes out.

A ranking may follow the measurement. Whatever becomes of it, the measurement stands. What a fine-tuning run reads is
gathered in the same way: the child writes it into a file of the repository's folder.

worker ── control socket ── supervisor (imports once) ── forks ── child (one repository)
   └───────────── a socket for each child ─────────────────────────┘
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
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Self

from bot.sandbox.child_replies import (
    MOST_ANSWER_BYTES,
    Progress,
    answer,
    converse,
    hear_ranking,
    in_time,
    made_of,
    silent,
)
from bot.sandbox.limits import Ending
from bot.sandbox.pair_task import Gathered, load_gathered
from bot.sandbox.screening_task import Screened, ScreeningFailed, ScreeningTask

__all__ = ["Screened", "ScreeningFailed", "ScreeningTask", "Supervisor"]

START_WITHIN_S: Final = 60.0
END_WITHIN_S: Final = 10.0  # a child that was killed, and the supervisor itself

_COMMAND: Final = (sys.executable, "-I", "-X", "utf8", "-m", "bot.sandbox.fork_server")
_INTERRUPTED: Final = "the process that starts screenings ended: the screening is started again"

_Child = tuple[asyncio.StreamReader, asyncio.StreamWriter, "asyncio.Future[Ending]", float]  # the last: when it ends


class Supervisor:
    """Screens repositories in child processes. Start and use it in one event loop, and close it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._listener: asyncio.Task[None] | None = None
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
        """Of the supervisor process; 0 while there is none."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start the supervisor process, or start it anew where it ended. Raises ScreeningFailed where that fails."""
        async with self._starting:
            if self._listener is not None and not self._listener.done():
                return
            await self._clear()
            ours, theirs = socket.socketpair()
            try:
                # From this thread, which lasts: the supervisor dies with the thread that started it.
                self._process = subprocess.Popen(_COMMAND, stdin=theirs.fileno(), env={}, start_new_session=True)
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            ours.setblocking(False)
            self._control = ours
            ready = asyncio.get_running_loop().create_future()
            self._listener = asyncio.create_task(self._listen(ours, ready))
            try:
                await asyncio.wait_for(ready, START_WITHIN_S)
            except BaseException as error:
                await self._clear()
                if isinstance(error, TimeoutError | ScreeningFailed):
                    raise ScreeningFailed("interrupted", "the process that starts screenings does not start") from None
                raise

    async def close(self) -> None:
        """End the supervisor process and with it every child."""
        async with self._starting:
            await self._clear()

    async def screen(self, order: ScreeningTask, progress: Progress = silent) -> Screened:
        """Clone or fetch, measure and rank, in a child; cancelling kills it. Returns only when the child is gone.

        Raises ScreeningFailed.
        """
        async with self._child(order) as (reader, writer, ending, ends_at):
            measurement = await in_time(order, ends_at, converse(order, reader, writer, ending, progress))
            return await hear_ranking(order, measurement, reader, ends_at, progress)

    async def gather(self, order: ScreeningTask, progress: Progress = silent) -> Gathered:
        """Clone or fetch, and write the file that `order.gather` asks for, in the same way. Raises ScreeningFailed."""
        async with self._child(order) as (reader, writer, ending, ends_at):
            said = await in_time(order, ends_at, answer(order, reader, writer, ending, progress))
            return made_of(said, "gathered", load_gathered)

    @contextlib.asynccontextmanager
    async def _child(self, order: ScreeningTask) -> AsyncIterator[_Child]:
        """A child that is gone afterwards, however that came."""
        await self.start()
        number = next(self._numbers)
        reader, writer = await self._fork(number, order)
        ending = self._endings[number] = asyncio.get_running_loop().create_future()
        try:
            yield reader, writer, ending, asyncio.get_running_loop().time() + order.wall_s
        finally:
            writer.close()
            await self._end(number, ending)

    async def _fork(self, number: int, order: ScreeningTask) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Ask for a child; return our end of its socket."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MOST_ANSWER_BYTES)
            except BaseException:
                ours.close()
                raise
            try:
                await self._tell({"start": number, "limits": dataclasses.asdict(order.limits)}, theirs)
            except BaseException:
                writer.close()
                raise
        return reader, writer

    async def _end(self, number: int, ending: asyncio.Future[Ending]) -> None:
        """See a child off, killed first unless it has ended."""
        try:
            if not ending.done():
                with contextlib.suppress(ScreeningFailed):
                    await self._tell({"kill": number})
                await asyncio.wait([ending], timeout=END_WITHIN_S)
        finally:
            del self._endings[number]
            if ending.done():
                ending.exception()  # told by whoever waited for the answer

    async def _tell(self, message: dict[str, Any], attached: socket.socket | None = None) -> None:
        line = json.dumps(message).encode() + b"\n"
        while self._control is not None:
            try:
                socket.send_fds(self._control, [line], [attached.fileno()] if attached else [])
                return
            except BlockingIOError:  # lines are far shorter than a socket's room: all of it goes, or nothing
                await asyncio.sleep(0.01)
            except OSError:
                break
        raise ScreeningFailed("interrupted", _INTERRUPTED)

    async def _listen(self, control: socket.socket, ready: asyncio.Future[None]) -> None:
        """Pass on what the supervisor says, until it ends."""
        loop, heard = asyncio.get_running_loop(), b""
        try:
            while data := await loop.sock_recv(control, 65_536):
                *lines, heard = (heard + data).split(b"\n")
                for line in lines:
                    self._hear(json.loads(line), ready)
        except OSError:
            pass
        finally:
            waiting: list[asyncio.Future[Any]] = [ready, *self._endings.values()]
            for future in waiting:
                if not future.done():
                    future.set_exception(ScreeningFailed("interrupted", _INTERRUPTED))

    def _hear(self, message: dict[str, Any], ready: asyncio.Future[None]) -> None:
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
        """End the process, if there is one, and everything that belongs to it."""
        process, self._process = self._process, None
        control, self._control = self._control, None
        listener, self._listener = self._listener, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait, END_WITHIN_S)
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])
        if control is not None:
            control.close()
