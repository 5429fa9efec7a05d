"""The story of the demo and what comes after it on the operator's PostgreSQL and Redis, with two workers.

`make test-services`: ASSAY_TEST_POSTGRES_URL names a database beside which this makes one of its own, and
ASSAY_TEST_REDIS_URL a Redis database that it may empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]
import pytest
import redis

from tests.builders.app_processes import ASSAY, until
from tests.builders.broken import git
from tests.builders.canaries import Canary, find
from tests.builders.fast_assay import Pace
from tests.flows.canary_story import values_of
from tests.flows.demo_scenes import SCENES, check, known_to, write_histories
from tests.flows.faults.stage import Stage, set_stage
from tests.simulator.repositories import Repository

# Read before the tests take ASSAY_* out of the environment.
POSTGRES = os.environ.get("ASSAY_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")
REDIS = os.environ.get("ASSAY_TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
PASSWORD = Canary("PostgreSQL's password", "canary-of-postgres-7d20f3b6")
FACTOR = 600.0  # an hour takes six seconds

pytestmark = pytest.mark.services


def need(server: str, what_to_do: str, act: Callable[[], object]) -> None:
    """One sentence where a server is missing: nobody is helped by a test that is left out."""
    problem = ""
    try:
        act()
    except (OSError, TimeoutError, asyncpg.PostgresError, redis.RedisError) as error:
        problem = type(error).__name__
    if problem:
        pytest.fail(f"no {server} that may be used ({problem}): {what_to_do}", pytrace=False)


def administer(command: str) -> None:
    async def say() -> None:
        connection = await asyncpg.connect(POSTGRES, timeout=10)
        try:
            await connection.execute(command)
        finally:
            await connection.close()

    what_to_do = (
        "start one at 127.0.0.1:5432 with a database `test` of the user postgres, or set ASSAY_TEST_POSTGRES_URL to "
        "one where databases may be made"
    )
    need("PostgreSQL", what_to_do, lambda: asyncio.run(say()))


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """An empty database of the test's own. Its address has a password, which a server that trusts us ignores."""
    name = f"assay_flow_{os.getpid()}_{os.urandom(4).hex()}"
    administer(f'CREATE DATABASE "{name}" TEMPLATE template0')
    parts = urlsplit(POSTGRES)
    if parts.password is None:
        user, _, host = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"{user or 'postgres'}:{PASSWORD.text}@{host}")
    yield urlunsplit(parts._replace(path=f"/{name}"))
    administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A Redis database that is empty before and after."""
    with contextlib.closing(redis.Redis.from_url(REDIS, socket_connect_timeout=10)) as connection:
        what_to_do = "start one at 127.0.0.1:6379, or set ASSAY_TEST_REDIS_URL to a database that may be emptied"
        need("Redis", what_to_do, connection.flushdb)
        yield REDIS
        connection.flushdb()


@pytest.fixture
def stage(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[Stage]:
    """The database migrated, `assay web` and two of `assay worker`, as an operator starts them."""
    with set_stage(tmp_path, pace=Pace(FACTOR), database_url=postgres_url) as stage:
        stage.github.token_lifetime = timedelta(days=1)  # an hour is short where it takes six seconds
        stage.assay.environment["ASSAY_REDIS_URL"] = redis_url
        subprocess.run([ASSAY, "migrate"], env=stage.assay.environment, check=True, capture_output=True)
        stage.worker()
        stage.worker()
        stage.web()
        yield stage


def test_the_story_of_the_demo_and_what_comes_after_it(tmp_path: Path, stage: Stage) -> None:
    histories = write_histories(SCENES, tmp_path / "histories")
    acme = stage.organization()
    repositories = [acme.repository(name, git_dir) for name, git_dir in histories.items()]
    installation = stage.app.install(acme, repositories)
    until("three verdicts", lambda: all(repo.check_runs for repo in repositories))
    first = {repo: [repo.head()] for repo in repositories}
    stage.assert_settled(first)
    assert list(check(SCENES, known_to(stage.assay), repositories)) == []

    busy, calm, even = repositories
    busy.roles["ann"] = "maintain"
    commit(calm)
    calm.pushed()
    even.check_runs[0].rerequest("ann")
    busy.check_runs[0].press("ann", "rescreen")
    after = {busy: first[busy] * 2, calm: [*first[calm], calm.head()], even: first[even] * 2}
    until("the answers", lambda: all(len(repo.check_runs) == 2 for repo in repositories))
    rows = stage.assert_settled(after)
    assert [run["conclusion"] for run in (*busy.check_runs, *calm.check_runs)] == ["success"] * 2 + ["neutral"] * 2
    assert even.check_runs[0]["conclusion"] == even.check_runs[1]["conclusion"]
    assert f"measured at {str(first[calm][0])[:7]}" in calm.check_runs[1]["output"]["title"]
    assert len(rows["screenings"]) == 4  # only the button measured again
    assert find([PASSWORD], repr(rows).encode()) == []

    installation.uninstall()
    stage.github.settle()
    until("nothing of who left", lambda: not stage.traces() and not installation_rows(stage))
    assert [process.stop() for process in stage.assay.processes] == [0, 0, 0]
    assert find([PASSWORD], stage.said().encode()) == []
    of_who_left = Canary("the installation", str(installation.installation_id)), Canary("the account", acme.login)
    assert find([PASSWORD, *of_who_left], what_redis_holds(stage.assay.environment["ASSAY_REDIS_URL"])) == []


def commit(repo: Repository) -> None:
    """One more commit on the default branch, which changes nothing."""
    made = git(repo.git_dir, "-c", "user.name=A", "-c", "user.email=a@b.c", "commit-tree", "HEAD^{tree}", "-p", "HEAD",
               "-m", "docs: nothing new")  # fmt: skip
    git(repo.git_dir, "update-ref", "HEAD", made)


def installation_rows(stage: Stage) -> list[str]:
    """Tables in which something of an installation is left."""
    return [table for table, rows in stage.rows().items() if any(getattr(row, "installation_id", 0) for row in rows)]


def what_redis_holds(url: str) -> bytes:
    """Every key, and what is in it."""
    with contextlib.closing(redis.Redis.from_url(url)) as connection:
        return b"\n".join(line for key in connection.scan_iter() for line in (key, *values_of(connection, key)))
