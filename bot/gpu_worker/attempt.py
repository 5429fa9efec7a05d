"""One attempt at one run: train in a child process, hold the lease meanwhile, and save the outcome exactly once.

1. build the task: fetch and verify the run's input                                    build_task.py
2. train in a child process; renew the lease and save progress meanwhile               training_child.py, lease.py
3. the process ends, or must stop: lease lost, cancelled, out of time, worker stopping
4. one transaction, fenced by the lease: the run ends, or is requeued                  next_state.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from bot.base_models import ModelNotOffered, recipe_of
from bot.clock import Clock
from bot.disk.artifacts import Artifacts, PairsChanged, PairsGone
from bot.gpu_worker.build_task import build_task, load_earlier_runs
from bot.gpu_worker.lease import ProgressWriter, RunLease, StopReason
from bot.gpu_worker.next_state import (
    Finish,
    Requeue,
    cancelled,
    decide,
    max_total_minutes,
    refused,
    timed_out,
    training_minutes,
)
from bot.gpu_worker.scratch import run_folder
from bot.gpu_worker.training_child import COMMAND, Child, start_child
from bot.gpu_worker.training_task import Failure, Reply, Stopped, TrainingTask
from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.retry import error_fields
from bot.messages.reasons import (
    ARTIFACT_STORE_FAILED,
    MODEL_NOT_ALLOWED,
    NOT_STARTED,
    PAIRS_CHANGED,
    PAIRS_GONE,
    own_bug,
)
from bot.records import Run
from bot.runs.end_run import finish_and_report
from bot.store.database import Connection, Database, StoreUnavailable
from bot.store.jobs import LostLease, request_job
from bot.store.runs import give_back_run
from pipeline.finetuning.artifact_store import StoreError
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.records import AssayError

log = structlog.get_logger(__name__)

RETRY_EVERY_S: Final = 1.0
STOP_TIMEOUT_S: Final = 20.0  # for a checkpoint, when the worker stops


@dataclass(frozen=True, kw_only=True)
class GpuParts:
    """The dependencies of attempts: stores, limits and the command of the training process."""

    database: Database
    artifacts: Artifacts
    clock: Clock
    base_models: Mapping[str, BaseModel]
    minutes: float  # training time limit of a run
    scratch: Path
    name: str  # of the worker
    device: str = ""  # empty: choose the best available
    lease_s: float = 60.0
    renewals_per_lease: int = 6
    poll_every_s: float = 3.0
    stop_timeout_s: float = STOP_TIMEOUT_S
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # of the training process
    command: Sequence[str] = COMMAND


class Attempt:
    """Run it once. `stop` may be called at any time."""

    def __init__(self, parts: GpuParts, run: Run) -> None:
        self._parts = parts
        self._run = run
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._child: Child | None = None
        self._progress = ProgressWriter(parts.database, parts.clock, run)

    def stop(self) -> None:
        """Stop after the next checkpoint; stop immediately when called a second time."""
        (self._stop_now if self._stop.is_set() else self._stop).set()

    async def run(self) -> str:
        """Return the outcome as one word for the log. Raises StoreUnavailable if the attempt could not be started."""
        parts, run = self._parts, self._run
        try:
            minutes = training_minutes(parts.minutes, run.estimated_minutes)
            recipe = recipe_of(run, parts.base_models, minutes)
            earlier = await load_earlier_runs(parts.database, run)
        except StoreUnavailable:
            raise  # the lease expires, and the run is claimed again
        except ModelNotOffered:
            return await self._save_outcome(refused(MODEL_NOT_ALLOWED), self._lease(parts.minutes))
        except AssayError as error:
            return await self._save_outcome(refused(str(error)), self._lease(parts.minutes))
        lease = self._lease(recipe.max_minutes)

        async def train() -> Reply:
            with run_folder(parts.scratch, run.run_id) as folder:
                task = await build_task(
                    run, earlier, recipe, parts.artifacts, folder, device=parts.device, lease_s=parts.lease_s
                )
                return await self._train(task, lease.renew_every_s)

        holding = asyncio.create_task(lease.hold())
        try:
            outcome = await self._outcome(asyncio.create_task(train()), holding, recipe)
            if outcome is None:
                return "lost"
            return await self._save_outcome(outcome, lease)
        finally:
            await cancel_and_wait([holding])

    def _lease(self, minutes: float) -> RunLease:
        parts = self._parts
        return RunLease(
            parts.database,
            parts.clock,
            self._run,
            lease_s=parts.lease_s,
            renew_every_s=parts.lease_s / parts.renewals_per_lease,
            max_minutes=max_total_minutes(minutes, self._run.estimated_minutes),
        )

    async def _outcome(
        self, training: asyncio.Task[Reply], holding: asyncio.Task[StopReason], recipe: FinetuneRecipe
    ) -> Finish | Requeue | None:
        """Wait until training ends or must stop; return the run's next state, None if the lease is lost.

        The training process has ended when this returns.
        """
        saving = asyncio.create_task(self._progress.keep_saving())
        stopping = asyncio.create_task(self._stopped())
        try:
            await asyncio.wait([training, holding, saving, stopping], return_when=asyncio.FIRST_COMPLETED)
            if training.done():
                return decide(_reply_of(training), self._run.attempts)
            reason = next((task.result() for task in (saving, holding) if task.done()), None)
            if reason is None:
                return decide(Stopped(), self._run.attempts)
            return {
                "lost": None,
                "cancelled": cancelled(),
                "timed_out": timed_out(recipe.max_minutes, self._run.estimated_minutes),
            }[reason]
        finally:
            await cancel_and_wait([training, saving, stopping])

    async def _train(self, task: TrainingTask, heartbeat_s: float) -> Reply:
        """Train in a child process, which has ended when this returns or is cancelled."""
        parts = self._parts
        async with start_child(parts.command, parts.environment) as child:
            child.send_task(task)
            self._child = child
            beating = asyncio.create_task(_send_heartbeats(child, heartbeat_s))
            try:
                return await child.reply(self._progress.receive)
            finally:
                self._child = None
                await cancel_and_wait([beating])

    async def _stopped(self) -> None:
        """Return once the worker stops and the training process has had time for a checkpoint."""
        await self._stop.wait()
        if self._child is not None:
            self._child.send({"stop": "the GPU worker stops"})
            try:
                await asyncio.wait_for(self._stop_now.wait(), self._parts.stop_timeout_s)
            except TimeoutError:
                log.warning("checkpoint_timed_out", run_id=self._run.run_id)

    async def _save_outcome(self, outcome: Finish | Requeue, lease: RunLease) -> str:
        """Save the outcome, retrying while the database is unavailable. Saves nothing if the lease is lost."""
        spent = lease.spent_minutes()
        if isinstance(outcome, Requeue):
            return await self._save(lambda connection: self._requeue(connection, outcome, spent), "requeued")
        artifacts = self._parts.artifacts.done_name(self._run) if outcome.files else ""
        word = await self._save(lambda connection: self._finish(connection, outcome, spent, artifacts), "ended")
        if word == "ended":
            await self._remove_leftovers(artifacts)
            return outcome.ending
        return word

    async def _requeue(self, connection: Connection, requeue: Requeue, spent: float) -> None:
        run, now = self._run, self._parts.clock.now()
        not_before = now + timedelta(seconds=requeue.pause_s)
        await give_back_run(connection, run, requeue.reason, not_before, counts=requeue.counts, spent_minutes=spent)
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

    async def _save(self, write: Callable[[Any], Coroutine[Any, Any, None]], word: str) -> str:
        """Write in a transaction; return `word`, "lost" if the lease is lost, "unsaved" if the worker is stopping."""
        while True:
            try:
                await self._progress.save()
                async with self._parts.database.write() as connection:
                    await write(connection)
            except LostLease:
                return "lost"
            except Exception as problem:  # each database driver has errors of its own for being unavailable
                log.warning("run_save_failed", run_id=self._run.run_id, **error_fields(problem))
            else:
                return word
            if self._stop.is_set():
                return "unsaved"
            await asyncio.sleep(RETRY_EVERY_S)

    async def _remove_leftovers(self, artifacts: str) -> None:
        """Delete what only a resumed run needs. What cannot be deleted now is left to the artifact purge."""
        run = replace(self._run, artifacts=artifacts)
        try:
            await asyncio.to_thread(self._parts.artifacts.remove_leftovers, run)
        except AssayError as problem:
            log.warning("checkpoint_cleanup_failed", run_id=run.run_id, **error_fields(problem))


def _reply_of(training: asyncio.Task[Reply]) -> Reply:
    try:
        reply = training.result()
    except StoreError as error:
        reply = Failure("store", ARTIFACT_STORE_FAILED, str(error))
    except PairsGone:
        reply = Failure("input", PAIRS_GONE)
    except PairsChanged:
        reply = Failure("input", PAIRS_CHANGED)
    except AssayError as error:
        reply = Failure("input", str(error))
    except OSError as error:
        log.error("run_start_failed", **error_fields(error))
        reply = Failure("store", NOT_STARTED)
    except Exception as error:  # a bug: end the run with a reason instead of retrying it forever
        log.error("run_start_failed", **error_fields(error))
        reply = Failure("bug", own_bug(type(error).__name__))
    if isinstance(reply, Failure):
        log.warning("run_failed", kind=reply.kind, sentence=reply.sentence, detail=reply.detail)
    return reply


async def _send_heartbeats(child: Child, every_s: float) -> None:
    """Show the child that this worker is alive, whether or not the database can be reached to renew the lease."""
    while True:
        child.send({"beat": 1})
        await asyncio.sleep(every_s)
