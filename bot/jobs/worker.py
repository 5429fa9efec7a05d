"""The worker: take wake-ups, run jobs, record their outcomes. One stop request is graceful, a second is immediate."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from bot.jobs.arq_worker import QueueWorker, Take
from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.context import Handlers, JobContext, Parts
from bot.jobs.lanes import CAPS, KINDS, LANES, Lane, lane_of
from bot.jobs.lease import RunningJob, Stopping, Yielding
from bot.jobs.retry import error_fields
from bot.jobs.settle import settle
from bot.jobs.shares import WAITS, Held, at_their_share, who_yields
from bot.jobs.sweeper import Sweeper
from bot.jobs.wakeups import Queue
from bot.records import Job
from bot.store.database import Connection
from bot.store.jobs import claim_job, free_turns, ready_jobs
from bot.store.turns import waits_for_a_slot

log = structlog.get_logger(__name__)

CONCURRENT_DELIVERIES: Final = 4
MAX_JOBS_PER_WAKEUP: Final = 100  # then other wake-ups get their turn
MAX_WAKEUPS: Final = 4  # waiting ones per job that can run concurrently


class JobRunner:
    """Run the fair next job whenever a wake-up arrives."""

    def __init__(self, parts: Parts, handlers: Handlers) -> None:
        self._parts = parts
        self._handlers = handlers
        self._running: set[RunningJob] = set()
        self._yields: Counter[int] = Counter()  # by job
        self._passed_over: set[int] = set()  # installations that have just given back a slot
        self._stopping = False

    async def take_delivery(self, delivery_id: int) -> None:
        """Handle one delivery. Never raises: a failed delivery stays unhandled, and the sweeper announces it again."""
        try:
            if await self._handlers.deliver(self._parts, delivery_id):
                await self.announce_ready()
        except Exception as error:  # the wake-up has no caller that could handle it
            log.error("delivery_failed", delivery_id=delivery_id, **error_fields(error))

    async def take(self, lane: Lane) -> None:
        """Run jobs of a lane one after another until none is due. Never raises.

        Each job is claimed separately, so that installations take turns within a wake-up too.
        """
        for _ in range(MAX_JOBS_PER_WAKEUP):
            try:
                job = await self._claim(lane)
            except Exception as error:
                log.error("claim_failed", lane=lane, **error_fields(error))
                return
            if job is None:
                return
            await self._run(job)

    async def rebalance(self) -> None:
        """Return a screening to the queue if another installation waits for its slot, and announce what can start."""
        held = self._held("screen")
        if len(held) >= self.concurrency("screen") and (slot := who_yields(held)) is not None:
            async with self._parts.database.read() as connection:
                waits = await waits_for_a_slot(connection, KINDS["screen"], self._parts.clock.now() - WAITS)
            if waits:
                self._yield(slot)
        await self.announce_ready()

    def _held(self, lane: Lane) -> list[Held]:
        now_s = time.monotonic()
        jobs = [(running.context.job, now_s - running.began_s) for running in self._running]
        return [
            Held(job.job_id, job.installation_id, age_s, self._yields[job.job_id])
            for job, age_s in jobs
            if lane_of(job.kind) == lane
        ]

    def _yield(self, slot: Held) -> None:
        for running in list(self._running):
            if running.context.job.job_id == slot.job_id:
                log.info("screening_yields", job_id=slot.job_id, age_s=round(slot.age_s), yields=slot.yields)
                self._yields[slot.job_id] += 1
                self._passed_over.add(slot.installation_id)
                running.stop(Yielding())

    async def announce_ready(self) -> None:
        """Top up the waiting wake-ups to the number that can be used soon."""
        now = self._parts.clock.now()
        async with self._parts.database.read() as connection:
            ready = {lane: await self._ready(connection, lane, now) for lane in LANES}
        for lane, job_ids in ready.items():
            await self._parts.announcer.announce_jobs(lane, job_ids)

    async def _ready(self, connection: Connection, lane: Lane, now: datetime) -> list[int]:
        """Return the jobs that can start now; a wake-up for any other would find nothing to do."""
        free = await free_turns(connection, now, {kind: CAPS[kind] for kind in KINDS[lane]})
        limit = min(free, MAX_WAKEUPS * self.concurrency(lane))
        return await ready_jobs(connection, now, KINDS[lane], limit) if limit else []

    def concurrency(self, lane: Lane) -> int:
        policy = self._parts.policy
        return policy.screenings if lane == "screen" else policy.light_jobs

    def stop(self, lanes: Sequence[Lane] = LANES) -> None:
        """Return the running jobs of these lanes to the queue; their child processes are killed."""
        self._stopping = True
        for running in list(self._running):
            if lane_of(running.context.job.kind) in lanes:
                running.stop(Stopping())

    async def _claim(self, lane: Lane) -> Job | None:
        if self._stopping:
            return None
        now, real_now = self._parts.clock.now(), datetime.now(UTC)
        lease_s = self._parts.policy.lease_s
        held = [slot.installation_id for slot in self._held(lane)]
        without = at_their_share(held, self.concurrency(lane))
        if lane == "screen":
            without |= self._passed_over
            self._passed_over.clear()

        async def claim(without: Collection[int]) -> Job | None:
            async with self._parts.database.write() as connection:
                return await claim_job(
                    connection, KINDS[lane], now, real_now, lease_s=lease_s, caps=CAPS, without=without
                )

        job = await claim(without)
        if job is None and without and lane == "screen":  # nobody else waits
            job = await claim(())
        return job

    async def _run(self, job: Job) -> None:
        began_s = time.monotonic()
        ids = {"job_id": job.job_id, "installation_id": job.installation_id, "repository_id": job.repository_id}
        with structlog.contextvars.bound_contextvars(**ids, kind=job.kind):
            running = RunningJob(JobContext(job, self._parts), self._handlers.jobs[job.kind])
            self._running.add(running)
            try:
                outcome = await settle(running)
            finally:
                self._running.discard(running)
                if not isinstance(running.stopped_by, Yielding):
                    del self._yields[job.job_id]
            seconds = time.monotonic() - began_s
            log.info("job_ended", outcome=outcome, seconds=round(seconds, 3), attempts=job.attempts)
            self._parts.hooks.job_ended(job.kind, outcome, seconds)
            if not self._stopping:
                await self._announce_quietly()

    async def _announce_quietly(self) -> None:
        with contextlib.suppress(Exception):  # the sweeper announces within two seconds anyway
            await self.announce_ready()


class Worker:
    """The three queues of one process in one event loop, and its sweeper."""

    def __init__(self, parts: Parts, handlers: Handlers, redis_url: str) -> None:
        self._parts = parts
        self._url = redis_url
        self._runner = JobRunner(parts, handlers)
        self._sweeper = Sweeper(parts, self._runner.rebalance, handlers.sweep)
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()

    def stop(self) -> None:
        """Stop gracefully; on a second call, immediately. Safe to call from a signal handler."""
        (self._stop_now if self._stop.is_set() else self._stop).set()

    async def run(self) -> None:
        """Work until `stop` is called."""
        queues = self._queues()
        serving = [asyncio.create_task(queue.serve()) for queue in queues]
        sweeping = asyncio.create_task(self._sweeper.run())
        try:
            await self._stop.wait()
            log.info("worker_stopping")
            await self._drain_all(queues)
        finally:
            await cancel_and_wait([*serving, sweeping])
            for queue in queues:
                await queue.end()
        log.info("worker_stopped")

    async def _drain_all(self, queues: Sequence[QueueWorker]) -> None:
        """Return screenings to the queue immediately, and light jobs once the grace period has passed."""
        for queue in queues:
            queue.stop_taking()
        self._runner.stop(("screen",))
        await self._drain(queues, self._parts.policy.stop_s)
        self._runner.stop()
        await self._drain(queues, self._parts.policy.stop_s)

    async def _drain(self, queues: Sequence[QueueWorker], timeout_s: float) -> None:
        drained = asyncio.create_task(_all_drained(queues))
        stop_now = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait([drained, stop_now], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        await cancel_and_wait([drained, stop_now])

    def _queues(self) -> list[QueueWorker]:
        runner, refused = self._runner, self._parts.hooks.wakeup_refused

        async def light(row_id: int) -> None:
            await runner.take("light")

        async def screen(row_id: int) -> None:
            await runner.take("screen")

        def queue(name: Queue, function: str, take: Take, concurrency: int) -> QueueWorker:
            return QueueWorker(name, function, take, concurrency=concurrency, url=self._url, refused=refused)

        return [
            queue("deliver", "deliver", runner.take_delivery, CONCURRENT_DELIVERIES),
            queue("light", "work", light, runner.concurrency("light")),
            queue("screen", "work", screen, runner.concurrency("screen")),
        ]


async def _all_drained(queues: Sequence[QueueWorker]) -> None:
    for queue in queues:
        await queue.drained()
