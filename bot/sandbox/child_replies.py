"""What a child says on its socket, read as values; where it says nothing or nonsense, why it came to nothing.

An order goes in, lines of progress come out and then one answer; after a measurement a ranking may follow.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from bot.sandbox.limits import Ending, explain, too_much_time
from bot.sandbox.screening_task import FAILURE_KINDS, Screened, ScreeningFailed, ScreeningTask, dump_order
from pipeline.json_fields import Fields, MalformedError, parse_object
from pipeline.ranking.shortlist import load_shortlist
from pipeline.records import AssayError
from pipeline.screening.measurement import Measurement, load_measurement

MOST_ANSWER_BYTES: Final = 4 << 20  # everything that one child says
_NONSENSE: Final = "gave an answer that makes no sense"

T = TypeVar("T")
Progress = Callable[[str], None]


def silent(line: str) -> None:
    """Nobody listens."""


async def in_time(order: ScreeningTask, ends_at: float, answer: Awaitable[T]) -> T:
    """Raises ScreeningFailed where the time of a child is up before."""
    try:
        async with asyncio.timeout_at(ends_at):
            return await answer
    except TimeoutError:
        raise ScreeningFailed("time", too_much_time(order.limits)) from None


async def converse(
    order: ScreeningTask,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    ending: asyncio.Future[Ending],
    progress: Progress,
) -> Measurement:
    """Send the order, hear the measurement. Raises ScreeningFailed."""
    return made_of(await answer(order, reader, writer, ending, progress), "measurement", load_measurement)


async def answer(
    order: ScreeningTask,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    ending: asyncio.Future[Ending],
    progress: Progress,
) -> Fields:
    """Send the order, hear what came of it; where nothing did, say how the child ended. Raises ScreeningFailed."""
    with contextlib.suppress(ConnectionError):
        writer.write(dump_order(order))
        await writer.drain()
    try:
        said = await _last_words(reader, progress)
        if said is not None and "error" in said:
            error = said.inner("error")
            raise ScreeningFailed(error.choice("kind", FAILURE_KINDS), error.text("sentence"))
    except AssayError:
        raise ScreeningFailed("crash", _NONSENSE) from None
    if said is None:
        raise ScreeningFailed(*explain(await asyncio.shield(ending), order.limits))
    return said


def made_of(said: Fields, key: str, load: Callable[[object], T]) -> T:
    """Raises ScreeningFailed for nonsense."""
    try:
        return load(said.value(key))
    except AssayError:
        raise ScreeningFailed("crash", _NONSENSE) from None


async def hear_ranking(
    order: ScreeningTask, measurement: Measurement, reader: asyncio.StreamReader, ends_at: float, progress: Progress
) -> Screened:
    """What follows the measurement, if it comes in time; why it did not come otherwise. Raises nothing."""
    if not order.rank:
        return Screened(measurement)
    try:
        async with asyncio.timeout_at(min(ends_at, asyncio.get_running_loop().time() + order.rank_s)):
            said = await _last_words(reader, progress)
        if said is None:
            return Screened(measurement, unranked="the process ended")
        if "unranked" in said:
            return Screened(measurement, unranked=said.text("unranked"))
        return Screened(measurement, load_shortlist(said.value("shortlist")))
    except TimeoutError:
        return Screened(measurement, unranked="took too long")
    except AssayError:
        return Screened(measurement, unranked="gave a ranking that makes no sense")


async def _last_words(reader: asyncio.StreamReader, progress: Progress) -> Fields | None:
    """The next that a child says beside progress; None where it ended before. Raises AssayError for nonsense."""
    heard_bytes = 0
    try:
        while (line := await reader.readline()).endswith(b"\n"):
            heard_bytes += len(line)
            message = parse_object(line, "answer")
            if "progress" not in message:
                return message
            if heard_bytes > MOST_ANSWER_BYTES:
                break
            progress(message.text("progress"))
    except ConnectionError:
        return None
    except ValueError:  # a line without an end
        heard_bytes = MOST_ANSWER_BYTES + 1
    if heard_bytes > MOST_ANSWER_BYTES:
        raise MalformedError("answer: too long")
    return None
