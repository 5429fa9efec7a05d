"""A GPU worker: claims the next run, one at a time, and records a heartbeat.

A wake-up only shortens the wait: the worker also polls, so runs do not depend on Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from bot.gpu_worker.attempt import Attempt, GpuParts
from bot.jobs.arq_worker import QueueWorker
from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.retry import error_fields
from bot.records import GpuWorker as GpuWorkerRecord
from bot.records import Run
from bot.store.budgets import list_gpu_workers, note_gpu_worker
from bot.store.runs import claim_run, load_run

log = structlog.get_logger(__name__)

HEARTBEAT_EVERY_S: Final = 15.0


class GpuWorker:
    """Runs attempts one after another. `device_name` is the driver's name of the device."""

    def __init__(self, parts: GpuParts, device_name: str, *, on_refused: Callable[[], None] = lambda: None) -> None:
        self._parts = parts
        self._device_name = device_name
        self._on_refused = on_refused
        self._flops_per_s: float | None = None
        self._attempt: Attempt | None = None
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()

    def stop(self) -> None:
        """Stop after the next checkpoint; immediately when called a second time. Safe to call in a signal handler."""
        self._stop.set()
        self._wake.set()
        if self._attempt is not None:
            self._attempt.stop()

    async def run(self, redis_url: str = "") -> None:
        """Run until `stop` is called. Without a Redis URL it only polls."""
        queue = self._queue(redis_url) if redis_url else None
        background = [asyncio.create_task(self._heartbeat())]
        if queue is not None:
            background.append(asyncio.create_task(queue.serve()))
        polling = asyncio.create_task(self._poll())
        try:
            await self._stop.wait()
            log.info("gpu_worker_stopping")
            if queue is not None:
                queue.stop_taking()
            await polling
        finally:
            await cancel_and_wait([*background, polling])
            if queue is not None:
                await queue.end()
        log.info("gpu_worker_stopped")

    async def once(self) -> Run | None:
        """Run one attempt at the next run and return the run as it is then; None if no run waits."""
        heartbeat = asyncio.create_task(self._heartbeat())
        try:
            return await self._run_next()
        finally:
            await cancel_and_wait([heartbeat])

    async def wake(self, row_id: int) -> None:
        """Poll now. Holds the wake-up while this worker is busy, so that the next one goes to another worker.

        The run itself happens elsewhere, since it may outlast the queue's timeout.
        """
        self._idle.clear()
        self._wake.set()
        await self._idle.wait()

    async def _poll(self) -> None:
        """Run waiting runs one after another until `stop`."""
        while not self._stop.is_set():
            self._wake.clear()
            try:
                while not self._stop.is_set() and await self._run_next() is not None:
                    pass
            except Exception as problem:  # the database is unavailable: poll again soon
                log.warning("claim_failed", **error_fields(problem))
            self._idle.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._parts.poll_every_s)

    async def _run_next(self) -> Run | None:
        run = await self._claim()
        if run is None:
            return None
        ids = {"run_id": run.run_id, "installation_id": run.installation_id, "repository_id": run.repository_id}
        with structlog.contextvars.bound_contextvars(**ids):
            log.info("attempt_started", purpose=run.purpose, attempts=run.attempts)
            self._attempt = Attempt(self._parts, run)
            try:
                if self._stop.is_set():  # set while the run was being claimed
                    self._attempt.stop()
                outcome = await self._attempt.run()
            finally:
                self._attempt = None
            log.info("attempt_ended", outcome=outcome)
        async with self._parts.database.read() as connection:
            updated = await load_run(connection, run.installation_id, run.run_id)
        self._measure_rate(updated)
        return updated or run

    async def _claim(self) -> Run | None:
        parts = self._parts
        async with parts.database.write() as connection:
            return await claim_run(connection, parts.name, parts.clock.now(), datetime.now(UTC), lease_s=parts.lease_s)

    def _measure_rate(self, run: Run | None) -> None:
        """Take the device's real speed from a run that it trained."""
        result = (run.result or {}) if run is not None else {}
        flops, seconds = result.get("flops"), result.get("training_seconds")
        if isinstance(flops, int | float) and isinstance(seconds, int | float) and flops > 0 and seconds > 0:
            self._flops_per_s = flops / seconds

    async def _heartbeat(self) -> None:
        """Record this worker and its speed regularly, until cancelled."""
        parts = self._parts
        while True:
            try:
                async with parts.database.write() as connection:
                    if self._flops_per_s is None:
                        known = await list_gpu_workers(connection)
                        mine = (w for w in known if (w.name, w.device) == (parts.name, self._device_name))
                        self._flops_per_s = next((worker.flops_per_s for worker in mine), None)
                    record = GpuWorkerRecord(parts.name, self._device_name, self._flops_per_s, parts.clock.now())
                    await note_gpu_worker(connection, record)
            except Exception as problem:  # the database is unavailable
                log.warning("heartbeat_failed", **error_fields(problem))
            await asyncio.sleep(HEARTBEAT_EVERY_S)

    def _queue(self, redis_url: str) -> QueueWorker:
        return QueueWorker("gpu", "train", self.wake, concurrency=1, url=redis_url, refused=self._on_refused)
