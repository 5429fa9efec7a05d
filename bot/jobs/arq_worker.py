"""arq's worker, made to live through a Redis that goes away, and through wake-ups that are none of ours.

arq 0.28 ends its worker on the first connection error and leaves its counters as they were then. A wake-up is taken off
the queue when it is begun, so that the length of a queue is what waits, and a killed worker leaves none behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import structlog
from arq.worker import Worker, func

from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.wakeups import CONNECT_TIMEOUT_S, QUEUES, REDIS_IS_AWAY, Queue, counting, open_redis

log = structlog.get_logger(__name__)

POLL_S: Final = 0.05
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
LAST_WAIT_S: Final = 0.5
WAKEUP_TIMEOUT_S: Final = 86_400  # never reached: the job's own lease and deadline end it long before

Take = Callable[[int], Awaitable[None]]  # given a row id; raises nothing


class QueueWorker(Worker):
    """Serves one queue until `stop_taking`, then until `drained`."""

    def __init__(self, queue: Queue, function: str, take: Take, *, at_once: int, url: str, refused: Callable[[], None]):
        async def begin(context: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
            await self._take_off(context["job_id"])
            await take(args[0])

        self._refused = refused
        super().__init__(
            [func(cast(Any, begin), name=function)],
            queue_name=QUEUES[queue],
            redis_pool=open_redis(url, queue, counting(refused, function)),
            job_serializer=None,
            job_deserializer=None,
            max_jobs=at_once,
            job_timeout=WAKEUP_TIMEOUT_S,
            keep_result=0,
            max_tries=1,
            retry_jobs=False,
            poll_delay=POLL_S,
            handle_signals=False,
            log_results=False,
        )
        self.job_serializer = self.pool.job_serializer
        self.job_deserializer = self.pool.job_deserializer

    async def serve(self) -> None:
        """Until cancelled. Where Redis is away, wait for it to come back; what is being done goes on meanwhile."""
        pause_s = FIRST_PAUSE_S
        while True:
            begun_s = self.loop.time()
            try:
                await self.main()
            except REDIS_IS_AWAY as problem:
                log.warning("redis_is_away", queue=self.queue_name, problem=type(problem).__name__)
            except (
                Exception
            ) as problem:  # something that is none of ours lies in the queue, and would lie there for ever
                log.error("queue_thrown_away", queue=self.queue_name, problem=type(problem).__name__)
                self._refused()
                await self._throw_away()
            pause_s = (
                FIRST_PAUSE_S if self.loop.time() - begun_s > LONGEST_PAUSE_S else min(2 * pause_s, LONGEST_PAUSE_S)
            )
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            await self._recount()

    def stop_taking(self) -> None:
        self.allow_pick_jobs = False

    async def drained(self) -> None:
        """Wait until nothing is being done any more."""
        while unfinished := [task for task in self.tasks.values() if not task.done()]:
            await asyncio.wait(unfinished)

    async def end(self) -> None:
        """Cancel what is still being done, and let go of Redis."""
        with contextlib.suppress(TimeoutError):  # what ends by itself also tidies up behind itself
            await asyncio.wait_for(self.drained(), LAST_WAIT_S)
        await cancel_and_wait(self.tasks.values())
        with contextlib.suppress(*REDIS_IS_AWAY):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self.pool.aclose(close_connection_pool=True)

    async def _take_off(self, wakeup: str) -> None:
        with contextlib.suppress(*REDIS_IS_AWAY):
            await self.pool.zrem(self.queue_name, wakeup)

    async def _throw_away(self) -> None:
        """Wakeups are made again by the sweeper."""
        with contextlib.suppress(*REDIS_IS_AWAY):
            await self.pool.delete(self.queue_name)

    async def _recount(self) -> None:
        """What is really being done, after an error that may have come between counting and beginning."""
        running = [task for task in self.tasks.values() if not task.done()]
        self.tasks = {name: task for name, task in self.tasks.items() if not task.done()}
        self.job_counter = len(running)
        self.sem = asyncio.BoundedSemaphore(self.max_jobs + 1)
        for _ in running:
            await self.sem.acquire()
