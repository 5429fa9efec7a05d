"""The worker's side of the conversation with a child: send a task, receive progress, then parse the replies.

A task goes in; progress lines come out, then one reply. After a measurement a ranking may follow.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from bot.sandbox.limits import Ending, explain, too_much_time
from bot.sandbox.screening_task import FAILURE_KINDS, Screened, ScreeningFailed, ScreeningTask, dump_task
from pipeline.json_fields import Fields, MalformedError, parse_object
from pipeline.ranking.shortlist import load_shortlist
from pipeline.records import AssayError
from pipeline.screening.measurement import Measurement, load_measurement

MAX_REPLY_BYTES: Final = 4 << 20  # all lines of one child together
_NONSENSE: Final = "sent an invalid reply"

T = TypeVar("T")
Progress = Callable[[str], None]


def ignore_progress(line: str) -> None:
    """Discard a progress line."""


async def within_time(task: ScreeningTask, ends_at: float, reply: Awaitable[T]) -> T:
    """Await `reply` until `ends_at` (event loop time). Raises ScreeningFailed when the time is up."""
    try:
        async with asyncio.timeout_at(ends_at):
            return await reply
    except TimeoutError:
        raise ScreeningFailed("time", too_much_time(task.limits)) from None


async def receive_measurement(
    task: ScreeningTask,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    ending: asyncio.Future[Ending],
    progress: Progress,
) -> Measurement:
    """Send the task and receive the measurement. Raises ScreeningFailed."""
    return parse_reply(await exchange(task, reader, writer, ending, progress), "measurement", load_measurement)


async def exchange(
    task: ScreeningTask,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    ending: asyncio.Future[Ending],
    progress: Progress,
) -> Fields:
    """Send the task and return the reply. Raises ScreeningFailed: the child's error, or how the process ended."""
    with contextlib.suppress(ConnectionError):
        writer.write(dump_task(task))
        await writer.drain()
    try:
        reply = await _next_reply(reader, progress)
        if reply is not None and "error" in reply:
            error = reply.inner("error")
            raise ScreeningFailed(error.choice("kind", FAILURE_KINDS), error.text("sentence"))
    except AssayError:
        raise ScreeningFailed("crash", _NONSENSE) from None
    if reply is None:
        raise ScreeningFailed(*explain(await asyncio.shield(ending), task.limits))
    return reply


def parse_reply(reply: Fields, key: str, load: Callable[[object], T]) -> T:
    """Load the value under `key`. Raises ScreeningFailed if it is malformed."""
    try:
        return load(reply.value(key))
    except AssayError:
        raise ScreeningFailed("crash", _NONSENSE) from None


async def receive_ranking(
    task: ScreeningTask, measurement: Measurement, reader: asyncio.StreamReader, ends_at: float, progress: Progress
) -> Screened:
    """Return the measurement with the ranking that follows it, or with the reason why none came. Never raises."""
    if not task.rank:
        return Screened(measurement)
    try:
        async with asyncio.timeout_at(min(ends_at, asyncio.get_running_loop().time() + task.rank_s)):
            reply = await _next_reply(reader, progress)
        if reply is None:
            return Screened(measurement, unranked="the process ended")
        if "unranked" in reply:
            return Screened(measurement, unranked=reply.text("unranked"))
        return Screened(measurement, load_shortlist(reply.value("shortlist")))
    except TimeoutError:
        return Screened(measurement, unranked="took too long")
    except AssayError:
        return Screened(measurement, unranked="sent an invalid ranking")


async def _next_reply(reader: asyncio.StreamReader, progress: Progress) -> Fields | None:
    """Read up to the next message that is not progress; None if the child ended first. Raises AssayError."""
    received_bytes = 0
    try:
        while (line := await reader.readline()).endswith(b"\n"):
            received_bytes += len(line)
            message = parse_object(line, "reply")
            if "progress" not in message:
                return message
            if received_bytes > MAX_REPLY_BYTES:
                break
            progress(message.text("progress"))
    except ConnectionError:
        return None
    except ValueError:  # asyncio: the line exceeds the stream's limit
        received_bytes = MAX_REPLY_BYTES + 1
    if received_bytes > MAX_REPLY_BYTES:
        raise MalformedError("reply: too long")
    return None
