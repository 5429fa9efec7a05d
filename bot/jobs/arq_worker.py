"""arq's worker, hardened against Redis outages and foreign entries in the queue.

arq 0.28 ends its worker on the first connection error and leaves its counters stale. It also marks a wake-up as in
progress and leaves it in the queue, where that of a killed worker would count as waiting until the mark expires. Here a
wake-up is taken off the queue to claim it, so a queue's length is the number that waits, whoever is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import structlog
from arq.worker import Worker, func

from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.wakeups import CONNECT_TIMEOUT_S, QUEUES, REDIS_ERRORS, Queue, open_redis, parse_counting

log = structlog.get_logger(__name__)

POLL_S: Final = 0.05
FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 5.0
LAST_WAIT_S: Final = 0.5
WAKEUP_TIMEOUT_S: Final = 86_400  # never reached: the lease and the deadline of the job end it long before

Take = Callable[[int], Awaitable[None]]  # takes a row id and never raises


class QueueWorker(Worker):
    """Serve one queue. Call `stop_taking`, then `drained`, for a graceful end."""

    def __init__(
        self, queue: Queue, function: str, take: Take, *, concurrency: int, url: str, refused: Callable[[], None]
    ):
        async def start(context: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
            await take(args[0])

        self._refused = refused
        super().__init__(
            [func(cast(Any, start), name=function)],
            queue_name=QUEUES[queue],
            redis_pool=open_redis(url, queue, parse_counting(refused, function)),
            job_serializer=None,
            job_deserializer=None,
            max_jobs=concurrency,
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
        """Serve until cancelled. While Redis is down, wait for it; jobs in progress continue."""
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = self.loop.time()
            try:
                await self.main()
            except REDIS_ERRORS as error:
                log.warning("redis_unavailable", queue=self.queue_name, problem=type(error).__name__)
            except Exception as error:  # a foreign entry, which would stay at the head of the queue forever
                log.error("queue_cleared", queue=self.queue_name, problem=type(error).__name__)
                self._refused()
                await self._clear()
            pause_s = FIRST_PAUSE_S if self.loop.time() - began_s > MAX_PAUSE_S else min(2 * pause_s, MAX_PAUSE_S)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            await self._recount()

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start those that this worker takes off the queue; only one worker can. Called by arq for each poll."""
        for raw in job_ids:
            name = raw.decode()
            await self.sem.acquire()
            if self.job_counter >= self.max_jobs:
                self.sem.release()
                return
            self.job_counter += 1
            if await self.pool.zrem(self.queue_name, name):
                task = self.tasks[name] = self.loop.create_task(self.run_job(name, time.time_ns() // 1_000_000))
                task.add_done_callback(lambda _: self._release_sem_dec_counter_on_complete())
            else:
                self._release_sem_dec_counter_on_complete()

    def stop_taking(self) -> None:
        self.allow_pick_jobs = False

    async def drained(self) -> None:
        """Wait for the jobs in progress."""
        while unfinished := [task for task in self.tasks.values() if not task.done()]:
            await asyncio.wait(unfinished)

    async def end(self) -> None:
        """Cancel the jobs that are still in progress, and disconnect."""
        with contextlib.suppress(TimeoutError):  # a job that ends by itself also cleans up
            await asyncio.wait_for(self.drained(), LAST_WAIT_S)
        await cancel_and_wait(self.tasks.values())
        with contextlib.suppress(*REDIS_ERRORS):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self.pool.aclose(close_connection_pool=True)

    async def _clear(self) -> None:
        """Empty the queue; the sweeper creates the wake-ups again."""
        with contextlib.suppress(*REDIS_ERRORS):
            await self.pool.delete(self.queue_name)

    async def _recount(self) -> None:
        """Correct arq's counters, after an error that may have come between counting a job and starting it."""
        running = [task for task in self.tasks.values() if not task.done()]
        self.tasks = {name: task for name, task in self.tasks.items() if not task.done()}
        self.job_counter = len(running)
        self.sem = asyncio.BoundedSemaphore(self.max_jobs + 1)
        for _ in running:
            await self.sem.acquire()
