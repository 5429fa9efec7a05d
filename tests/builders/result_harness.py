"""Run the job `result` with a real store and the simulated GitHub, after runs that ended.

with open_result_harness(tmp_path) as harness:
    run = harness.run_ends()           # a WIN
    harness.results()                  # every waiting `result` job
    assert harness.told()
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from bot.calibration.calibration_source import CalibrationSource
from bot.handlers.finetuning.result import result
from bot.handlers.screening.post_check import post
from bot.jobs.context import Handler, JobContext
from bot.jobs.lease import RunningJob
from bot.jobs.settle import settle
from bot.policy import Policy
from bot.receiver.dispatch import job_for
from bot.receiver.events import parse_event
from bot.records import Job, JobKind, Run, RunEnding, RunPurpose
from bot.runs.end_run import end_and_report, finish_and_report
from bot.store.jobs import claim_job, load_job, request_job
from bot.store.runs import RunRequest, claim_run, load_run, open_run, queue_run
from bot.store.screenings import save_ranking
from pipeline.calibration.calibration_set import replay
from pipeline.calibration.seed import load_seed
from pipeline.label_recipe import MESSAGES
from pipeline.ranking.shortlist import dump_shortlist
from tests.bot.messages.finetune_runs import stored_result
from tests.bot.messages.test_hotspots import SHORTLIST as BY_BASELINE
from tests.builders.command_harness import POLICY, RUN, Harness, open_harness
from tests.simulator.state import CheckRun
from tests.simulator.webhooks import Delivery

HANDLERS: dict[JobKind, Handler] = {"result": result, "post": post}
WON = stored_result(label_recipe_id=MESSAGES.id)
BASELINE_RANKING = dump_shortlist(BY_BASELINE)


@dataclass
class ResultHarness:
    """A harness with a calibration that can end runs."""

    harness: Harness
    source: CalibrationSource

    def __getattr__(self, name: str) -> Any:
        return getattr(self.harness, name)

    @property
    def ids(self) -> tuple[int, int]:
        return self.harness.ids

    @property
    def now(self) -> datetime:
        return self.harness.world.clock.now()

    def is_measured(self, **changes: Any) -> int:
        """Store a screening by the deciding label recipe, ranked by the baseline."""
        number = self.harness.is_measured(RUN, label_recipe_id=MESSAGES.id, **changes)
        self.ranks(BASELINE_RANKING)
        return number

    def ranks(self, ranking: Mapping[str, Any]) -> None:
        assert self.harness.write(lambda c: save_ranking(c, *self.harness.ids, self.harness.world.head, ranking))

    # Runs.

    def asks(self, purpose: RunPurpose = "judge", made_at: datetime | None = None, **changes: Any) -> Run:
        """Open and queue a run."""
        usual: dict[str, Any] = {
            "head_sha": self.harness.world.head,
            "base_model": POLICY.base_model,
            "recipe": {},
            "label_recipe_id": MESSAGES.id,
            "screening_id": 1,
        }
        request = RunRequest(purpose=purpose, **usual | changes)

        async def ask(connection: Any) -> Run:
            run, _ = await open_run(connection, *self.harness.ids, request, made_at or self.now)
            await queue_run(connection, run, pair_set_id="b" * 64, minutes=120.0, month="2026-03", now=self.now)
            return run

        return cast(Run, self.harness.write(ask))

    def ends(self, run: Run, ending: RunEnding = "finished", result: Any = WON, reason: str = "") -> Run:
        """End a run: from a GPU worker if it finished, else from a bot worker."""

        async def end(connection: Any) -> Run | None:
            if ending == "finished":
                held = await claim_run(connection, "gpu-1", self.now, datetime.now(UTC), lease_s=60)
                assert held is not None
                assert held.run_id == run.run_id
                came: dict[str, Any] = {"result": result, "spent_minutes": 34.2, "artifacts": "done"}
                await finish_and_report(connection, held, ending, reason, self.now, **came)
            else:
                queued = await load_run(connection, run.installation_id, run.run_id)
                assert queued is not None
                assert await end_and_report(connection, queued, ending, reason, self.now)
            return await load_run(connection, run.installation_id, run.run_id)

        return cast(Run, self.harness.write(end))

    def run_ends(self, ending: RunEnding = "finished", result: Any = WON, **changes: Any) -> Run:
        return self.ends(self.asks(**changes), ending, result)

    # What the App does.

    def does(self, kind: JobKind) -> Job | None:
        """Run the next job of this kind as a worker would; return None if none is due."""
        return self.harness.runner.run(self._does(kind))

    async def _does(self, kind: JobKind) -> Job | None:
        harness = self.harness
        async with harness.database.write() as connection:
            job = await claim_job(connection, [kind], self.now, datetime.now(UTC))
        if job is None:
            return None
        parts = cast(Any, SimpleNamespace(**vars(harness.parts) | {"calibrations": self.source}))
        harness.outcomes.append(await settle(RunningJob(JobContext(job, parts), HANDLERS[kind])))
        async with harness.database.read() as connection:
            return await load_job(connection, job.job_id)

    def results(self) -> list[Job]:
        done: list[Job] = []
        while job := self.does("result"):
            done.append(job)
        return done

    def asks_for(self, kind: JobKind, arguments: Mapping[str, Any], key: str = "") -> None:
        self.harness.write(lambda c: request_job(c, *self.harness.ids, kind, self.now, arguments=arguments, key=key))

    def hears(self, deliveries: list[Delivery]) -> None:
        """Request the job of each delivery, as the dispatch table says."""
        for delivery in deliveries:
            request = job_for(parse_event(delivery.event, delivery.content))
            if request is not None:
                self.asks_for(request.kind, request.arguments, request.key)

    def becomes(self, **changes: Any) -> None:
        self.harness.policy = replace(self.harness.policy, **changes)

    # What there is.

    def run(self, run: Run) -> Run:
        found = self.harness.read(lambda c: load_run(c, run.installation_id, run.run_id))
        assert found is not None
        return cast(Run, found)

    def told(self) -> list[CheckRun]:
        """The check runs `assay/finetune` on GitHub, oldest first."""
        return [run for run in self.harness.world.shop.check_runs if run["name"] == "assay/finetune"]

    def verdicts(self) -> list[CheckRun]:
        return [run for run in self.harness.world.shop.check_runs if run["name"] == "assay/screen"]


@contextlib.contextmanager
def open_result_harness(folder: Path, policy: Policy = POLICY, *, private: bool = True) -> Iterator[ResultHarness]:
    """A measured repository of an installation with a budget."""
    source = CalibrationSource(lambda: replay((), load_seed()))
    with open_harness(folder, policy, private=private) as harness:
        opened = ResultHarness(harness, source)
        harness.gives_budget(concurrency=5)
        opened.is_measured()
        yield opened
