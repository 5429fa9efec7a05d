"""One worker: wake-ups in, jobs done, rows settled. Stops tidily when it is told to, at once when told twice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from bot.handlers.installations.delivery import deliver
from bot.jobs.arq_worker import QueueWorker, Take
from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.context import Handler, JobContext, Parts
from bot.jobs.lanes import CAPS, KINDS, LANES, Lane, lane_of
from bot.jobs.lease import Running, Stopping
from bot.jobs.retry import error_fields
from bot.jobs.settle import settle
from bot.jobs.sweeper import Sweeper
from bot.jobs.wakeups import Queue
from bot.records import Job, JobKind
from bot.store.database import Connection
from bot.store.jobs import claim_job, free_turns, ready_jobs

log = structlog.get_logger(__name__)

DELIVERIES_AT_ONCE: Final = 4
MOST_OF_A_WAKEUP: Final = 100  # jobs, then its place is anybody's again
MOST_WAKEUPS: Final = 4  # that wait, for each job that can be done at once


class JobRunner:
    """Does the fair next job whenever it is told that there may be one."""

    def __init__(self, parts: Parts, handlers: Mapping[JobKind, Handler]) -> None:
        self._parts = parts
        self._handlers = handlers
        self._running: set[Running] = set()
        self._stopping = False

    async def take_delivery(self, delivery_id: int) -> None:
        """Handle one delivery. Raises nothing: what fails stays unhandled, and the sweeper announces it again."""
        try:
            if await deliver(self._parts, delivery_id):
                await self.announce_ready()
        except Exception as problem:  # nobody is there to raise it to
            log.error("delivery_not_handled", delivery_id=delivery_id, **error_fields(problem))

    async def take(self, lane: Lane) -> None:
        """Do the jobs of a lane whose turn it is, one after the other, until none is due. Raises nothing either.

        Each is claimed anew, so installations take turns within a wake-up too; another wake-up would only cost time.
        """
        for _ in range(MOST_OF_A_WAKEUP):
            try:
                job = await self._claim(lane)
            except Exception as problem:
                log.error("nothing_claimed", lane=lane, **error_fields(problem))
                return
            if job is None:
                return
            await self._do(job)

    async def announce_ready(self) -> None:
        """Make sure that as many wake-ups wait as can be used soon."""
        now = self._parts.clock.now()
        async with self._parts.database.read() as connection:
            ready = {lane: await self._ready(connection, lane, now) for lane in LANES}
        for lane, job_ids in ready.items():
            await self._parts.announcer.announce_jobs(lane, job_ids)

    async def _ready(self, connection: Connection, lane: Lane, now: datetime) -> list[int]:
        """As many as can be begun: for the others a wake-up would be taken in vain, time and again."""
        free = await free_turns(connection, now, {kind: CAPS[kind] for kind in KINDS[lane]})
        limit = min(free, MOST_WAKEUPS * self.at_once(lane))
        return await ready_jobs(connection, now, KINDS[lane], limit) if limit else []

    def at_once(self, lane: Lane) -> int:
        policy = self._parts.policy
        return policy.screenings if lane == "screen" else policy.light_jobs

    def stop(self, lanes: Sequence[Lane] = LANES) -> None:
        """Give back what is being done in these lanes; their children are killed with it."""
        self._stopping = True
        for running in list(self._running):
            if lane_of(running.context.job.kind) in lanes:
                running.stop(Stopping())

    async def _claim(self, lane: Lane) -> Job | None:
        if self._stopping:
            return None
        now, real_now = self._parts.clock.now(), datetime.now(UTC)
        lease_s = self._parts.policy.lease_s
        async with self._parts.database.write() as connection:
            return await claim_job(connection, KINDS[lane], now, real_now, lease_s=lease_s, caps=CAPS)

    async def _do(self, job: Job) -> None:
        begun_s = time.monotonic()
        ids = {"job_id": job.job_id, "installation_id": job.installation_id, "repository_id": job.repository_id}
        with structlog.contextvars.bound_contextvars(**ids, kind=job.kind):
            running = Running(JobContext(job, self._parts), self._handlers[job.kind])
            self._running.add(running)
            try:
                outcome = await settle(running)
            finally:
                self._running.discard(running)
            seconds = time.monotonic() - begun_s
            log.info("job_ended", outcome=outcome, seconds=round(seconds, 3), attempts=job.attempts)
            self._parts.hooks.job_ended(job.kind, outcome, seconds)
            if not self._stopping:
                await self._announce_quietly()

    async def _announce_quietly(self) -> None:
        with contextlib.suppress(Exception):  # only saves the sweeper's two seconds
            await self.announce_ready()


class Workers:
    """The three queues of one process, in one event loop, and its sweeper."""

    def __init__(self, parts: Parts, handlers: Mapping[JobKind, Handler], redis_url: Callable[[], str] | str) -> None:
        self._parts = parts
        self._url = redis_url if isinstance(redis_url, str) else redis_url()
        self._runner = JobRunner(parts, handlers)
        self._sweeper = Sweeper(parts, self._runner.announce_ready)
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()

    def stop(self) -> None:
        """Once: tidily. Twice: at once. Safe to call from a signal handler."""
        (self._stop_now if self._stop.is_set() else self._stop).set()

    async def run(self) -> None:
        """Until `stop` is called."""
        queues = self._queues()
        serving = [asyncio.create_task(queue.serve()) for queue in queues]
        sweeping = asyncio.create_task(self._sweeper.run())
        try:
            await self._stop.wait()
            log.info("worker_stops")
            await self._end_tidily(queues)
        finally:
            await cancel_and_wait([*serving, sweeping])
            for queue in queues:
                await queue.end()
        log.info("worker_stopped")

    async def _end_tidily(self, queues: Sequence[QueueWorker]) -> None:
        """Screenings go back at once, light jobs may end; what does not end in time goes back too."""
        for queue in queues:
            queue.stop_taking()
        self._runner.stop(("screen",))
        await self._drain(queues, self._parts.policy.stop_s)
        self._runner.stop()
        await self._drain(queues, self._parts.policy.stop_s)

    async def _drain(self, queues: Sequence[QueueWorker], timeout_s: float) -> None:
        drained = asyncio.create_task(_all_drained(queues))
        at_once = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait([drained, at_once], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        await cancel_and_wait([drained, at_once])

    def _queues(self) -> list[QueueWorker]:
        shop, refused = self._runner, self._parts.hooks.wakeup_refused

        async def light(row_id: int) -> None:
            await shop.take("light")

        async def screen(row_id: int) -> None:
            await shop.take("screen")

        def queue(name: Queue, function: str, take: Take, at_once: int) -> QueueWorker:
            return QueueWorker(name, function, take, at_once=at_once, url=self._url, refused=refused)

        return [
            queue("deliver", "deliver", shop.take_delivery, DELIVERIES_AT_ONCE),
            queue("light", "work", light, shop.at_once("light")),
            queue("screen", "work", screen, shop.at_once("screen")),
        ]


async def _all_drained(queues: Sequence[QueueWorker]) -> None:
    for queue in queues:
        await queue.drained()
