"""One attempt at one run: a process trains, its lease is kept, and what comes of it is written down once.

1. the order: what the run reads, fetched and proven                                            ordering.py
2. the process that trains; meanwhile its lease is renewed and its progress written      child.py, leasing.py
3. it ends, or must not go on: the lease is lost, somebody cancelled it, time is up, the worker stops
4. one transaction, fenced by the lease: the run ends, or goes back to the queue                   endings.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import structlog

from bot.base_models import recipe_of
from bot.gpu_worker.build_task import build_task, earlier_of
from bot.gpu_worker.lease import Over, ProgressWriter, RunLease
from bot.gpu_worker.next_state import (
    Again,
    Finish,
    cancelled,
    decide,
    most_minutes,
    refused,
    timed_out,
    training_minutes,
)
from bot.gpu_worker.parts import GpuParts
from bot.gpu_worker.scratch import run_folder
from bot.gpu_worker.training_child import Child, started
from bot.gpu_worker.training_task import Answer, Failure, Halted, TrainingTask
from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.retry import error_fields
from bot.records import Run
from bot.runs.end_run import finish_and_report
from bot.store.database import Connection, StoreUnavailable
from bot.store.jobs import LostLease, request_job
from bot.store.runs import give_back_run
from pipeline.finetuning.artifact_store import StoreError
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.records import AssayError

log = structlog.get_logger(__name__)

WRITTEN_AGAIN_S: Final = 1.0


class Attempt:
    """Carried out once. `stop` may be called at any time."""

    def __init__(self, parts: GpuParts, run: Run) -> None:
        self._parts = parts
        self._run = run
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._child: Child | None = None
        self._notes = ProgressWriter(parts.database, parts.clock, run)

    def stop(self) -> None:
        """Once: after a checkpoint. Twice: at once."""
        (self._stop_now if self._stop.is_set() else self._stop).set()

    async def carry_out(self) -> str:
        """Returns one word for the log: what became of the run. Raises StoreUnavailable before anything is begun."""
        parts, run = self._parts, self._run
        try:
            minutes = training_minutes(parts.minutes, run.estimated_minutes)
            recipe = recipe_of(run, parts.base_models, minutes)
            earlier = await earlier_of(parts.database, run)
        except StoreUnavailable:
            raise  # its lease runs out, and it is taken again
        except AssayError as error:
            return await self._conclude(refused(str(error)), self._lease(parts.minutes))
        lease = self._lease(recipe.max_minutes)

        async def train() -> Answer:
            with run_folder(parts.scratch, run.run_id) as folder:
                order = await build_task(
                    run, earlier, recipe, parts.artifacts, folder, device=parts.device, lease_s=parts.lease_s
                )
                return await self._train(order, lease.beat_s)

        keeping = asyncio.create_task(lease.keep())
        try:
            decided = await self._decided(asyncio.create_task(train()), keeping, recipe)
            if decided is None:
                return "lost"
            return await self._conclude(decided, lease)
        finally:
            await cancel_and_wait([keeping])

    def _lease(self, minutes: float) -> RunLease:
        parts = self._parts
        return RunLease(
            parts.database,
            parts.clock,
            self._run,
            lease_s=parts.lease_s,
            most_minutes=most_minutes(minutes, self._run.estimated_minutes),
        )

    async def _decided(
        self, training: asyncio.Task[Answer], keeping: asyncio.Task[Over], recipe: FinetuneRecipe
    ) -> Finish | Again | None:
        """What is to become of the run; None where it is somebody else's. The process has ended then."""
        writing = asyncio.create_task(self._notes.keep_writing())
        stopping = asyncio.create_task(self._stopped())
        try:
            await asyncio.wait([training, keeping, writing, stopping], return_when=asyncio.FIRST_COMPLETED)
            if training.done():
                return decide(_answer_of(training), self._run.attempts)
            over = next((task.result() for task in (writing, keeping) if task.done()), None)
            if over is None:
                return decide(Halted(), self._run.attempts)
            return {
                "lost": None,
                "cancelled": cancelled(),
                "timed_out": timed_out(recipe.max_minutes, self._run.estimated_minutes),
            }[over]
        finally:
            await cancel_and_wait([training, writing, stopping])

    async def _train(self, order: TrainingTask, beat_s: float) -> Answer:
        """Its process is gone when this returns, or is cancelled."""
        parts = self._parts
        async with started(parts.command, parts.environment) as child:
            child.order(order)
            self._child = child
            beating = asyncio.create_task(_beat(child, beat_s))
            try:
                return await child.answer(self._notes.hear)
            finally:
                self._child = None
                await cancel_and_wait([beating])

    async def _stopped(self) -> None:
        """Returns when the worker stops and the process has had its time for a checkpoint."""
        await self._stop.wait()
        if self._child is not None:
            self._child.tell({"stop": "the GPU worker stops"})
            try:
                await asyncio.wait_for(self._stop_now.wait(), self._parts.stops_within_s)
            except TimeoutError:
                log.warning("checkpoint_takes_too_long", run_id=self._run.run_id)

    async def _conclude(self, decided: Finish | Again, lease: RunLease) -> str:
        """Written, however long the database is away; nothing is where the lease is lost."""
        spent = lease.spent_minutes()
        if isinstance(decided, Again):
            return await self._written(lambda connection: self._give_back(connection, decided, spent), "again")
        artifacts = self._parts.artifacts.done_name(self._run) if decided.files else ""
        word = await self._written(lambda connection: self._finish(connection, decided, spent, artifacts), "ended")
        if word == "ended":
            await self._remove_leavings(artifacts)
            return decided.ending
        return word

    async def _give_back(self, connection: Connection, again: Again, spent: float) -> None:
        run, now = self._run, self._parts.clock.now()
        not_before = now + timedelta(seconds=again.pause_s)
        await give_back_run(connection, run, again.reason, not_before, counts=again.counts, spent_minutes=spent)
        await request_job(
            connection,
            run.installation_id,
            run.repository_id,
            "reply",
            now,
            key=str(run.run_id),
            arguments={"run_id": run.run_id},
        )

    async def _finish(self, connection: Connection, finish: Finish, spent: float, artifacts: str) -> None:
        await finish_and_report(
            connection,
            self._run,
            finish.ending,
            finish.reason,
            self._parts.clock.now(),
            spent_minutes=spent,
            result=finish.result,
            recipe_id=finish.recipe_id,
            artifacts=artifacts,
        )

    async def _written(self, write: Callable[[Any], Coroutine[Any, Any, None]], word: str) -> str:
        """`word`; "lost" where the run is somebody else's; "unwritten" where the worker was told to end at once."""
        while True:
            try:
                await self._notes.write_down()
                async with self._parts.database.write() as connection:
                    await write(connection)
            except LostLease:
                return "lost"
            except Exception as problem:  # the database is away, in whatever way it says so
                log.warning("run_not_written", run_id=self._run.run_id, **error_fields(problem))
            else:
                return word
            if self._stop.is_set():
                return "unwritten"
            await asyncio.sleep(WRITTEN_AGAIN_S)

    async def _remove_leavings(self, artifacts: str) -> None:
        """Nothing is to be resumed any more. What cannot be deleted now, the purge of old files deletes."""
        run = replace(self._run, artifacts=artifacts)
        try:
            await asyncio.to_thread(self._parts.artifacts.remove_leavings, run)
        except AssayError as problem:
            log.warning("checkpoints_not_removed", run_id=run.run_id, **error_fields(problem))


def _answer_of(training: asyncio.Task[Answer]) -> Answer:
    try:
        answer = training.result()
    except StoreError as error:
        answer = Failure("store", "the store of adapters and checkpoints could not be read or written", str(error))
    except AssayError as error:
        answer = Failure("input", str(error))
    except OSError as error:
        log.error("run_not_begun", **error_fields(error))
        answer = Failure("store", "the GPU worker could not begin it")
    except Exception as error:  # a bug: the run says so, instead of being begun again and again
        log.error("run_not_begun", **error_fields(error))
        answer = Failure("bug", f"it stopped on an error of Assay's own ({type(error).__name__})")
    if isinstance(answer, Failure):
        log.warning("run_hindered", kind=answer.kind, sentence=answer.sentence, detail=answer.detail)
    return answer


async def _beat(child: Child, every_s: float) -> None:
    """Whoever trains hears that somebody is there who holds the lease, or would hold it if the database answered."""
    while True:
        child.tell({"beat": 1})
        await asyncio.sleep(every_s)
