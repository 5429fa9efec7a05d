"""The worker's side of the process that trains: started, spoken to, ended, and gone when this is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

from bot.gpu_worker.training_task import Answer, Died, TrainingTask, dump_line, dump_order, load_answer
from pipeline.json_fields import Fields, MalformedError, parse_object
from pipeline.records import AssayError

COMMAND: Final = (sys.executable, "-I", "-X", "utf8", "-m", "bot.gpu_worker.training_process")
MOST_ANSWER_BYTES: Final = 16 << 20
PROBED_WITHIN_S: Final = 120.0  # torch takes its time the first time
_REAPED_WITHIN_S: Final = 30.0  # whoever hangs in the driver of a device may take a while to be killed

Hear = Callable[[str, Any], None]  # "progress" or "checkpoint", and what it is


class Child:
    """Made by `started`."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, values: Mapping[str, Any]) -> None:
        self._write(dump_line(values))

    def order(self, order: TrainingTask) -> None:
        self._write(dump_order(order))

    async def answer(self, hear: Hear) -> Answer:
        """What it says in the end, or how it ended without a word."""
        try:
            while (line := await self._reader.readline()).endswith(b"\n"):
                said = parse_object(line, "answer")
                answer = load_answer(said)
                if answer is not None:
                    return answer
                for name in ("progress", "checkpoint"):
                    if name in said:
                        hear(name, said.value(name))
        except (ConnectionError, ValueError, MalformedError):  # a line without an end, or nonsense
            self._kill()
        return Died(await asyncio.to_thread(self._process.wait))

    async def read(self) -> Fields | None:
        """One line; None where it ended before."""
        line = await self._reader.readline()
        return parse_object(line, "answer") if line.endswith(b"\n") else None

    async def end(self) -> None:
        """Killed at once, whatever becomes of the wait for it."""
        self._kill()
        self._writer.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _REAPED_WITHIN_S)

    def _write(self, line: bytes) -> None:
        """Nothing happens where it has ended: that is heard."""
        if not self._writer.is_closing():
            self._writer.write(line)

    def _kill(self) -> None:
        """It and all that it started; it is not reaped yet, so the number is still its own."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def started(command: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[Child]:
    """A process that waits for its order. It dies with the thread that this is called from."""
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C in a terminal is for the worker
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MOST_ANSWER_BYTES)
    child = Child(process, reader, writer)
    try:
        yield child
    finally:
        await child.end()


async def device_of(command: Sequence[str], environment: Mapping[str, str], wanted: str) -> str:
    """What the device is called that would be used. Raises AssayError where there is none such."""
    async with started(command, environment) as child:
        child.tell({"probe": wanted})
        try:
            said = await asyncio.wait_for(child.read(), PROBED_WITHIN_S)
        except (TimeoutError, ConnectionError, MalformedError):
            said = None
    if said is not None and "device" in said:
        return said.text("device")
    if said is not None and "failed" in said:
        raise AssayError(said.inner("failed").text("sentence"))
    raise AssayError("the process that trains does not start: try `assay finetune --dry-run` on this machine")
