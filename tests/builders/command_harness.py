"""Run the jobs `command` and `reply`, one after another, with a real store and the simulated GitHub.

with open_harness(tmp_path) as harness:
    harness.world.shop.roles["ann"] = "maintain"
    comment = harness.says("ann", "/finetune")     # the delivery goes through the real receiver
    harness.answers()                              # every waiting `reply` job
    assert harness.our_comments()
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import insert

from bot.github.client import GitHubApp, GitHubServer
from bot.handlers.commands.command import command
from bot.handlers.commands.reply_comment import reply
from bot.jobs.context import Handler, JobContext, Parts
from bot.jobs.lease import RunningJob
from bot.jobs.settle import settle
from bot.policy import Policy
from bot.receiver.dispatch import job_for
from bot.receiver.events import parse_event
from bot.records import Job, JobKind, Repository, Run
from bot.store.budgets import set_budget
from bot.store.check_runs import create_check_run, mark_posted
from bot.store.database import Database
from bot.store.installations import load_installation, save_installation
from bot.store.jobs import claim_job, load_job, recent_jobs, request_job
from bot.store.repositories import save_repository
from bot.store.runs import runs_of
from bot.store.screenings import save_screening
from bot.store.tables import content_writes
from pipeline.finetuning.recipe import PRESETS
from tests.bot.messages.screenings import at_density, screened
from tests.builders.databases import create_database
from tests.simulator.state import CheckRun, Comment
from tests.simulator.webhooks import Delivery
from tests.simulator.world import World, make_world

SMALL, USUAL, LARGE = PRESETS
POLICY = Policy(base_models=PRESETS, base_model=USUAL, recipe={"epochs": 1}, lease_s=30, heartbeat_s=5)
HANDLERS: dict[str, Handler] = {"command": command, "reply": reply}
RUN, SKIP = at_density(0.0394), at_density(0.0061)


class Announced:
    async def announce_deliveries(self, *values: object, **options: object) -> None:
        pass

    async def announce_jobs(self, *values: object) -> None:
        pass


@dataclass
class Harness:
    world: World
    database: Database
    app: GitHubApp
    runner: asyncio.Runner
    policy: Policy = POLICY
    outcomes: list[str] = field(default_factory=list)  # of each job that ran

    @property
    def ids(self) -> tuple[int, int]:
        return self.world.installation.installation_id, self.world.shop.repository_id

    @property
    def repository(self) -> Repository:
        """As GitHub describes it now."""
        shop = self.world.shop
        return Repository(*self.ids, shop.full_name, shop.default_branch, private=shop.private, archived=shop.archived)

    @property
    def parts(self) -> Parts:
        nobody = cast(Any, None)
        return Parts(
            database=self.database,
            github=self.app,
            clock=self.world.clock,
            supervisor=nobody,
            clones=nobody,
            calibrations=nobody,
            artifacts=nobody,
            announcer=cast(Any, Announced()),
            app_id=lambda: self.world.app.credentials.app_id,
            policy=self.policy,
        )

    # What people do.

    def says(self, login: str, body: str, issue: int = 1, *, on_pull_request: bool = False) -> Comment:
        """Comment, and run the resulting job."""
        before = len(self.world.github.deliveries)
        comment = self.world.shop.comment(login, body, issue, on_pull_request=on_pull_request)
        self.hears(self.world.github.deliveries[before:])
        return comment

    def presses(self, login: str, identifier: str, run: CheckRun) -> None:
        self.hears(run.press_unseen(login, identifier))

    def hears(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            if self.asks(delivery):
                self.does("command")

    def asks(self, delivery: Delivery) -> int:
        """Pass a delivery through the real receiver and return its job, or 0."""
        request = job_for(parse_event(delivery.event, delivery.content))
        if request is None or request.kind != "command":
            return 0
        ids, now = (request.installation_id, request.repository_id), self.world.clock.now()
        return int(
            self.write(
                lambda c: request_job(
                    c, *ids, request.kind, now, arguments=request.arguments, key=request.key, once=True
                )
            )
        )

    # What the App does.

    def does(self, kind: JobKind, handler: Handler | None = None) -> Job | None:
        """Run the next job of this kind as a worker would; return None if none is due."""
        return self.runner.run(self._does(kind, handler or HANDLERS[kind]))

    async def _does(self, kind: JobKind, handler: Handler) -> Job | None:
        async with self.database.write() as connection:
            job = await claim_job(connection, [kind], self.world.clock.now(), datetime.now(UTC))
        if job is None:
            return None
        self.outcomes.append(await settle(RunningJob(JobContext(job, self.parts), handler)))
        async with self.database.read() as connection:
            return await load_job(connection, job.job_id)

    def answers(self) -> None:
        """Run every `reply` job that is due."""
        while self.does("reply"):
            pass

    # What there is.

    def read(self, question: Callable[[Any], Awaitable[Any]]) -> Any:
        async def ask() -> Any:
            async with self.database.read() as connection:
                return await question(connection)

        return self.runner.run(ask())

    def write(self, effect: Callable[[Any], Awaitable[Any]]) -> Any:
        async def change() -> Any:
            async with self.database.write() as connection:
                return await effect(connection)

        return self.runner.run(change())

    def runs(self) -> list[Run]:
        return cast(list[Run], self.read(lambda c: runs_of(c, *self.ids)))

    def jobs(self, kind: JobKind) -> list[Job]:
        since = datetime(2020, 1, 1, tzinfo=UTC)
        return cast(list[Job], self.read(lambda c: recent_jobs(c, *self.ids, kind, since)))

    def our_comments(self) -> list[Comment]:
        return [comment for comment in self.world.shop.comments if comment.app is not None]

    def gives_budget(self, minutes: float = 500.0, concurrency: int = 1) -> None:
        self.write(lambda c: set_budget(c, self.ids[0], minutes, concurrency, self.world.clock.now()))

    def is_measured(self, measurement: Any = RUN, **changes: Any) -> int:
        """Store a screening, RUN by default; `failure` for a failed one."""
        stored = replace(screened(measurement), **changes)
        values = {name: getattr(stored, name) for name in ("measurement", "judgement", "failure", "label_recipe_id")}
        if stored.failure:
            values |= {"measurement": {}, "judgement": {}}
        head, now = self.world.head, self.world.clock.now()
        return int(
            self.write(
                lambda c: save_screening(
                    c, *self.ids, head_sha=head, measured_at=now, config_hash=stored.config_hash, **values
                )
            )
        )

    def check_run(self, name: str = "assay/screen", *, ours: bool = True) -> CheckRun:
        """Create a check run on the head; with a row of ours unless it is another App's."""
        made = self.world.ask(
            "POST",
            f"/repos/{self.world.shop.full_name}/check-runs",
            {"name": name, "head_sha": self.world.head, "status": "completed", "conclusion": "success"},
            token=self.world.installation.token(),
        )
        run = self.world.github.check_runs[made.json()["id"]]
        if ours:
            self.write(lambda c: self._stored(c, name, run["id"]))
        return run

    async def _stored(self, connection: Any, name: str, check_run_id: int) -> None:
        now = self.world.clock.now()
        row = await create_check_run(connection, *self.ids, name, self.world.head, 0, "success", now)
        await mark_posted(connection, self.ids[0], row.row_id, check_run_id, now)

    def forgets_writes(self) -> None:
        """Clear the counted writes."""
        self.write(lambda c: c.execute(content_writes.delete()))

    def fills_writes(self, writes: int = 500) -> None:
        rows = [{"installation_id": self.ids[0], "written_at": self.world.clock.now()}] * writes
        self.write(lambda c: c.execute(insert(content_writes), rows))


@contextlib.contextmanager
def open_harness(folder: Path, policy: Policy = POLICY, *, private: bool = True) -> Iterator[Harness]:
    url = f"sqlite:///{folder / 'assay.sqlite'}"
    create_database(url)
    with make_world(folder) as world, asyncio.Runner() as runner:
        world.shop.private = private
        server = GitHubServer(world.github.url, world.github.api_url, "2022-11-28")
        app = GitHubApp(lambda: world.app.credentials, server, world.clock)
        harness = Harness(world, runner.run(Database.open(url)), app, runner, policy)
        runner.run(_knows(harness))
        try:
            yield harness
        finally:
            runner.run(app.close())
            runner.run(harness.database.close())


async def _knows(harness: Harness) -> None:
    """The installation and the repository, as GitHub describes them."""
    installation = await harness.app.installation(harness.world.installation.installation_id)
    async with harness.database.write() as connection:
        if await load_installation(connection, harness.ids[0]) is None:
            await save_installation(connection, installation, harness.world.clock.now())
        await save_repository(connection, harness.repository)
