"""A GPU worker: takes the run whose turn it is, one at a time, and says of itself that it is there.

A wake-up only wakes it; it also looks by itself, so no run waits for a Redis that is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from bot.gpu_worker.attempt import Attempt
from bot.gpu_worker.parts import GpuParts
from bot.jobs.arq_worker import QueueWorker
from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.retry import error_fields
from bot.records import GpuWorker as Described
from bot.records import Run
from bot.store.budgets import list_gpu_workers, note_gpu_worker
from bot.store.runs import claim_run, load_run

log = structlog.get_logger(__name__)

SEEN_EVERY_S: Final = 15.0


class GpuWorker:
    """`device_name` is what the driver calls the device."""

    def __init__(self, parts: GpuParts, device_name: str, *, refused: Callable[[], None] = lambda: None) -> None:
        self._parts = parts
        self._device_name = device_name
        self._refused = refused
        self._flops_per_s: float | None = None
        self._attempt: Attempt | None = None
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()

    def stop(self) -> None:
        """Once: after a checkpoint. Twice: at once. Safe to call from a signal handler."""
        self._stop.set()
        self._wake.set()
        if self._attempt is not None:
            self._attempt.stop()

    async def run(self, redis_url: str = "") -> None:
        """Until `stop` is called. Without a Redis it only looks by itself."""
        queue = self._queue(redis_url) if redis_url else None
        beside = [asyncio.create_task(self._be_seen())]
        if queue is not None:
            beside.append(asyncio.create_task(queue.serve()))
        looking = asyncio.create_task(self._look())
        try:
            await self._stop.wait()
            log.info("gpu_worker_stops")
            if queue is not None:
                queue.stop_taking()
            await looking
        finally:
            await cancel_and_wait([*beside, looking])
            if queue is not None:
                await queue.end()
        log.info("gpu_worker_stopped")

    async def once(self) -> Run | None:
        """Do the one run whose turn it is, and return it as it is then; None where there is none."""
        seen = asyncio.create_task(self._be_seen())
        try:
            return await self._do_next()
        finally:
            await cancel_and_wait([seen])

    async def take(self, row_id: int) -> None:
        """Look at once. A wake-up is kept while this worker is busy, for the next one is for somebody else.

        Nothing is done here: a run may take longer than a wake-up may.
        """
        self._idle.clear()
        self._wake.set()
        await self._idle.wait()

    async def _look(self) -> None:
        """Until `stop`: whatever waits, one run after the other. What is at work then ends first."""
        while not self._stop.is_set():
            self._wake.clear()
            try:
                while not self._stop.is_set() and await self._do_next() is not None:
                    pass
            except Exception as problem:  # the database is away: the next look is soon
                log.warning("nothing_claimed", **error_fields(problem))
            self._idle.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._parts.looks_every_s)

    async def _do_next(self) -> Run | None:
        run = await self._claim()
        if run is None:
            return None
        ids = {"run_id": run.run_id, "installation_id": run.installation_id, "repository_id": run.repository_id}
        with structlog.contextvars.bound_contextvars(**ids):
            log.info("run_begun", purpose=run.purpose, attempts=run.attempts)
            self._attempt = Attempt(self._parts, run)
            try:
                if self._stop.is_set():  # while it was being claimed
                    self._attempt.stop()
                outcome = await self._attempt.carry_out()
            finally:
                self._attempt = None
            log.info("run_left", outcome=outcome)
        async with self._parts.database.read() as connection:
            left = await load_run(connection, run.installation_id, run.run_id)
        self._note_rate(left)
        return left or run

    async def _claim(self) -> Run | None:
        parts = self._parts
        async with parts.database.write() as connection:
            return await claim_run(connection, parts.name, parts.clock.now(), datetime.now(UTC), lease_s=parts.lease_s)

    def _note_rate(self, run: Run | None) -> None:
        """How fast this device really is, once it has trained something."""
        result = (run.result or {}) if run is not None else {}
        flops, seconds = result.get("flops"), result.get("training_seconds")
        if isinstance(flops, int | float) and isinstance(seconds, int | float) and flops > 0 and seconds > 0:
            self._flops_per_s = flops / seconds

    async def _be_seen(self) -> None:
        """Until cancelled."""
        parts = self._parts
        while True:
            try:
                async with parts.database.write() as connection:
                    if self._flops_per_s is None:
                        known = await list_gpu_workers(connection)
                        mine = (w for w in known if (w.name, w.device) == (parts.name, self._device_name))
                        self._flops_per_s = next((worker.flops_per_s for worker in mine), None)
                    described = Described(parts.name, self._device_name, self._flops_per_s, parts.clock.now())
                    await note_gpu_worker(connection, described)
            except Exception as problem:  # the database is away
                log.warning("not_seen", **error_fields(problem))
            await asyncio.sleep(SEEN_EVERY_S)

    def _queue(self, redis_url: str) -> QueueWorker:
        return QueueWorker("gpu", "train", self.take, concurrency=1, url=redis_url, refused=self._refused)
