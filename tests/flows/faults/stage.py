"""Where faults are played: the local GitHub, an App of real processes, and what must hold when all is over.

stage.up()
gate = stage.hold("POST /acme/shop.git/git-upload-pack")
stage.app.install(acme, [shop])
gate.wait()                          # now it is certainly being screened
stage.kill_everything()
gate.open()
stage.up()
stage.assert_settled({shop: [shop.head()]})
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import psutil

from bot.clock import SystemClock
from bot.jobs.embedded_redis import find_server
from bot.store.database import Database, StoreUnavailable
from bot.store.migrate import migrate
from tests.builders import fast_assay
from tests.builders.app_processes import AppProcess, Deployment, deployment, settings_for, until
from tests.builders.fast_assay import IMPATIENT, Pace
from tests.builders.history import History
from tests.builders.patience import PATIENCE_S
from tests.builders.servers import Server, redis_server
from tests.flows.faults.settled import (
    Rows,
    assert_check_runs,
    assert_deliveries,
    is_alive,
    read_all,
    traces_in_folders,
    traces_in_redis,
    traces_in_rows,
)
from tests.simulator import faults
from tests.simulator.apps import App
from tests.simulator.faults import FaultRule
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository
from tests.simulator.state import Account

PERIODIC = ("reconcile", "purge")
FUNCTION = "def f{n}(x):\n    y = x + {v}\n    return y\n"

Found = TypeVar("Found")


@dataclass
class Gate:
    """Requests that match wait here, before anything comes of them."""

    match: str
    rule: FaultRule
    opened: threading.Event

    def wait(self, requests: int = 1) -> None:
        """Until so many requests stand here."""
        until(f"{requests} times {self.match}", lambda: self.rule.met >= requests)

    def open(self) -> None:
        """They go on, and no more are held."""
        self.rule.stop()
        self.opened.set()


@dataclass
class Stage:
    folder: Path
    github: GitHub
    app: App
    assay: Deployment
    pace: Pace | None = None  # of the App's clock, where it is not the machine's
    redis: Server | None = None  # the operator's, where the App has none of its own
    gates: list[Gate] = field(default_factory=list)
    seen: set[psutil.Process] = field(default_factory=set)  # every process that was ever looked at

    # What people do.

    def up(self) -> AppProcess:
        return self._ready(self._start("up"))

    def web(self) -> AppProcess:
        return self._ready(self._start("web"))

    def worker(self) -> AppProcess:
        """Started; it works as soon as it can."""
        return self._start("worker")

    def organization(self, name: str = "acme") -> Account:
        return self.github.account(name, type="Organization")

    def repository(self, owner: Account, name: str = "shop", years: float = 2) -> Repository:
        git_dir = self.folder / f"{owner.login}-{name}.git"
        shutil.copytree(_small_history(years), git_dir)
        return owner.repository(name, git_dir=git_dir)

    def move(self, repo: Repository, years: float) -> None:
        """The branch moves to another history; the old commits stay, and nobody is told yet."""
        shutil.copytree(_small_history(years), repo.git_dir, dirs_exist_ok=True)

    def hold(self, match: str, *, after: int = 0) -> Gate:
        """From now on, but for the first so many."""
        if after:
            self.github.fault(match, faults.before(lambda: None), after)
        opened = threading.Event()
        gate = Gate(match, self.github.fault(match, faults.before(opened.wait), faults.FOREVER), opened)
        self.gates.append(gate)
        return gate

    def hold_clone(self, repo: Repository) -> Gate:
        """Its refs are read, and its pack is asked for."""
        return self.hold(f"POST /{repo.full_name}.git/git-upload-pack", after=1)

    # What the test sees.

    def rows(self) -> Rows:
        """Everything that is in the database at one moment."""
        return self.ask(read_all)

    def ask(self, question: Callable[[Any], Awaitable[Found]]) -> Found:
        async def asked() -> Found:
            database = await Database.open(self.database_url)
            try:
                async with database.read() as connection:
                    return await question(connection)
            finally:
                await database.close()

        return asyncio.run(asked())

    @property
    def data_dir(self) -> Path:
        return Path(self.assay.environment["ASSAY_DATA_DIR"])

    @property
    def database_url(self) -> str:
        return self.assay.environment.get("ASSAY_DATABASE_URL", f"sqlite:///{self.data_dir / 'assay.sqlite'}")

    @property
    def redis_folder(self) -> Path:
        return self.redis.folder if self.redis is not None else self.data_dir / "redis"

    def jobs(self, kind: str) -> list[Any]:
        return [job for job in self.rows()["jobs"] if job.kind == kind]

    def children(self) -> list[psutil.Process]:
        """The processes that screen at this moment: a child of the supervisor each."""
        found = self._families()
        direct = {child.pid for own, *_ in found for child in own.children()}
        return [each for own, *rest in found for each in rest if each.pid not in direct]

    def child(self) -> psutil.Process:
        (child,) = self.children()
        return child

    def said(self) -> str:
        return self.assay.said()

    # How it ends.

    def kill(self, *processes: AppProcess) -> None:
        """SIGKILL of these; whatever they started must end by itself."""
        self._families()
        for process in processes:
            process.kill()

    def kill_everything(self) -> None:
        """SIGKILL of each process that there is, Redis and the supervisors too."""
        for family in self._families():
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        for process in self.assay.processes:
            process.process.wait()
        if self.redis is not None:
            self.redis.kill()

    def until_idle(self) -> None:
        """Until all that was sent is answered and nothing is left to be done."""
        left: list[str] = []

        def is_idle() -> bool:
            left[:] = self._left()
            return not left

        self.github.settle()
        try:
            until("nothing left to do", is_idle, PATIENCE_S, every_s=0.1)
        except AssertionError:
            raise AssertionError(f"there is still to do: {left}; it said:\n{self.said()[-6_000:]}") from None

    def assert_settled(self, heads: Mapping[Repository, Sequence[str | None]]) -> Rows:
        """Each repository has one completed check run on each of these heads and no other, in this order; nothing is
        left over of the work, nor of who is gone. Returns the rows."""
        self.until_idle()
        rows = self.rows()
        for repo, expected in heads.items():
            assert [run["head_sha"] for run in repo.check_runs] == list(expected), repo.full_name
        assert_check_runs(self.github, rows)
        assert_deliveries(self.github, rows)
        assert [(job.kind, job.reason) for job in rows["jobs"] if job.state in ("failed", "cancelled")] == []
        until("no child is left", lambda: not self.children())
        until("nothing of who is gone", lambda: not self.traces())
        return rows

    def traces(self) -> list[str]:
        """What is held of installations and repositories that GitHub knows no more, and in Redis of anybody."""
        with self.github.lock:
            served = {
                (installation.installation_id, repository_id)
                for installation in self.github.installations.values()
                for repository_id in (0, *(repo.repository_id for repo in installation.repositories))
            }
            ids = {str(each.installation_id) for each in self.github.deliveries if each.installation_id}
        return [
            *traces_in_rows(self.rows(), {*served, (0, 0)}),
            *traces_in_folders(self.data_dir / "installations", served),
            *traces_in_redis(self.redis_folder, [*ids, *(login for login in self.github.accounts)]),
        ]

    def end(self) -> None:
        """Open what is held, kill what runs, and see that nothing outlives it."""
        for gate in self.gates:
            gate.open()
        self.kill(*(process for process in self.assay.processes if process.running))
        self.assert_gone(self.seen)

    def assert_gone(self, processes: Iterable[psutil.Process]) -> None:
        wanted = list(processes)
        until(f"the end of {wanted}", lambda: not any(is_alive(each) for each in wanted))

    def _start(self, command: str) -> AppProcess:
        return self.assay.start(command) if self.pace is None else fast_assay.start(self.assay, self.pace, command)

    def _ready(self, process: AppProcess) -> AppProcess:
        self.assay.ready()
        self.app.webhook_url = self.assay.webhook_url
        return process

    def _families(self) -> list[list[psutil.Process]]:
        families = [family for process in self.assay.processes if (family := process.family())]
        self.seen.update(each for family in families for each in family)
        return families

    def _left(self) -> list[str]:
        try:
            rows = self.rows()
        except StoreUnavailable as problem:
            return [str(problem)]
        now = self.github.clock.now()
        deliveries = [f"delivery {each.delivery_id}" for each in rows["deliveries"] if each.state == "received"]
        return deliveries + [
            f"{job.kind} {job.state} {job.reason}"
            for job in rows["jobs"]
            if job.state == "running" or (job.state == "open" and (job.kind not in PERIODIC or job.not_before <= now))
        ]


@cache
def _small_history(years: float) -> Path:
    """A few functions, fixed now and then over some years: screened in no time. Written once a process."""
    folder = Path(mkdtemp(prefix="assay-history-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    history = History()
    names = [f"src/m{n}.py" for n in range(6)]
    history.commit("start", {name: FUNCTION.format(n=n, v=0) for n, name in enumerate(names)}, day=0)
    for step in range(1, int(years * 12)):
        n = step % len(names)
        history.commit(f"fix: wrong sum in m{n}", {names[n]: FUNCTION.format(n=n, v=step)}, day=step * 30)
    return history.write(folder / "git")


@contextlib.contextmanager
def set_stage(
    folder: Path, *, pace: Pace | None = None, redis: Server | None = None, database_url: str = ""
) -> Iterator[Stage]:
    """Nothing runs yet. `pace`: of the clocks of the App and GitHub. `redis`: of the operator's."""
    with serve_github(folder / "github", pace.clock if pace else SystemClock()) as github:
        app = github.register_app()
        environment = settings_for(app.credentials, folder / "assay", github.url, github.api_url) | IMPATIENT
        if redis is not None:
            environment |= {"ASSAY_REDIS_URL": redis.url}
        if database_url:
            environment |= {"ASSAY_DATABASE_URL": database_url}
        with deployment(folder / "assay", environment) as assay:
            stage = Stage(folder, github, app, assay, pace, redis)
            if redis is not None:
                stage.data_dir.mkdir(mode=0o700)
                migrate(stage.database_url)
            try:
                yield stage
            finally:
                stage.end()


@contextlib.contextmanager
def set_parted_stage(folder: Path) -> Iterator[Stage]:
    """For `assay web` and `assay worker`, which share a Redis of the operator's."""
    with redis_server(find_server()) as redis, set_stage(folder, redis=redis) as stage:
        yield stage
