"""A large installation under GitHub's limits, on a clock that runs fast for the App and the local GitHub alike.

    1. an installation of 1,000 small repositories: when is the last verdict posted, and how near the limits?
       Meanwhile a second installation of one repository: when does its screening start?
    2. 500 pushes to one repository within an hour: how many check runs, and is the last on the final head?

All times are those of the fast clock. What the limits alone allow is 80 writes a minute and 500 an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.clock import FastClock
from bot.github.rate_limits import next_write
from bot.records import AppCredentials
from tests.builders.app_processes import Deployment, deployment, settings_for
from tests.builders.history import History
from tests.simulator.control import RemoteGitHub

KINDS = 10  # different small histories
FUNCTION = "def f{n}(x):\n    y = x + {v}\n    return y\n"


@dataclass(frozen=True)
class Plan:
    repositories: int
    pushes: int
    factor: float


@dataclass(frozen=True)
class Stage:
    """Both sides, under one clock."""

    root: Path
    github: RemoteGitHub
    app_id: int
    assay: Deployment
    clock: FastClock

    def installed(self, account: str, names: Sequence[str], git_dirs: Sequence[Path]) -> int:
        """An installation of an account on repositories that are made for it."""
        made = [{"name": name, "git_dir": str(path)} for name, path in zip(names, git_dirs, strict=True)]
        self.github.do("repositories", account=account, repositories=made)
        found = self.github.do("install", app_id=self.app_id, account=account)
        return int(found["installation_id"])

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        path = Path(self.assay.environment["ASSAY_DATA_DIR"]) / "assay.sqlite"
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
            return database.execute(query, values).fetchall()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.installation", description=__doc__.partition("\n")[0])
    parser.add_argument("--repositories", type=int, default=1_000)
    parser.add_argument("--pushes", type=int, default=500)
    parser.add_argument("--faster", type=float, default=60, help="so many times as fast as real time")
    options = parser.parse_args(arguments)
    plan = Plan(options.repositories, options.pushes, options.faster)
    for part in (many_repositories, many_pushes):
        with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder, stage(Path(folder), plan.factor) as at:
            for line in part(at, plan):
                print(line, flush=True)
    return 0


@contextlib.contextmanager
def stage(root: Path, factor: float) -> Iterator[Stage]:
    since = datetime.now(UTC)
    command = [sys.executable, "-m", "tests.simulator.serve", str(root / "github"), "--faster", str(factor)]
    simulator = subprocess.Popen([*command, "--since", since.isoformat()], stdout=subprocess.PIPE, text=True)
    try:
        assert simulator.stdout is not None
        addresses = json.loads(simulator.stdout.readline())
        github = RemoteGitHub(addresses["url"])
        app = github.do("register_app")
        known = AppCredentials(app["app_id"], app["private_key"], (app["webhook_secret"],))
        environment = settings_for(known, root / "assay", addresses["url"], addresses["api_url"])
        with deployment(root / "assay", environment) as assay, open(root / "assay.log", "wb") as log:
            fast = [sys.executable, "-m", "bench.fast_app", str(assay.port), since.isoformat(), str(factor)]
            process = subprocess.Popen(fast, env=assay.environment, stdout=log, stderr=log)
            try:
                wait_for(lambda: assay.status("/readyz") == 200, 30)
                github.do("set_webhook", app_id=app["app_id"], url=assay.webhook_url)
                yield Stage(root, github, app["app_id"], assay, FastClock(since, factor))
            finally:
                process.terminate()
                process.wait(30)
    finally:
        simulator.terminate()
        simulator.wait(30)


def many_repositories(at: Stage, plan: Plan) -> Iterator[str]:
    histories = [small_history(at.root / f"kind{kind}.git", kind) for kind in range(KINDS)]
    names = [f"repo-{number:04d}" for number in range(plan.repositories)]
    began, began_s = at.clock.now(), time.perf_counter()
    at.installed("large", names, [histories[n % KINDS] for n in range(plan.repositories)])
    wait_for(lambda: at.github.do("figures")["check_runs"] >= plan.repositories / 10, 600)
    asked = at.clock.now()
    second = at.installed("small", ["only"], histories[:1])
    wait_for(lambda: screening_began(at, second) is not None, 600)
    started = screening_began(at, second)
    assert started is not None
    waited_s = (started - asked).total_seconds()
    yield f"a second installation's screening started {waited_s:.0f} s after it was installed (target 60)"
    allowed = limits_alone(began, plan.repositories) - began
    wait_for(lambda: at.github.do("figures")["check_runs"] >= plan.repositories + 1, 60 + 3 * allowed.total_seconds())
    runs = at.github.do("check_runs")
    of_large = [run for run in runs if run["repository"].startswith("large/")]
    took = max(datetime.fromisoformat(run["created_at"]) for run in of_large) - began
    figures = at.github.do("figures")
    repeated = len(of_large) - len({run["repository"] for run in of_large})
    yield (
        f"{plan.repositories:,} repositories: last verdict after {_minutes(took)}, the limits alone allow "
        f"{_minutes(allowed)}: ratio {_ratio(took, allowed)} (target 1.2) on a clock {plan.factor:g} times as fast "
        f"({time.perf_counter() - began_s:.0f} s)"
    )
    yield (
        f"most writes in a minute {figures['peak_minute']} (limit 80), in an hour {figures['peak_hour']} (limit 500), "
        f"refused {figures['refused']}, duplicates {repeated}"
    )
    screened = at.rows("SELECT min(finished_at), max(finished_at) FROM jobs WHERE kind = 'screen' AND state = 'done'")[
        0
    ]
    span_s = (datetime.fromisoformat(screened[1]) - datetime.fromisoformat(screened[0])).total_seconds() / plan.factor
    yield f"screenings: {plan.repositories / max(span_s, 1e-9):.1f} a real second while they lasted ({span_s:.0f} s)"


def many_pushes(at: Stage, plan: Plan) -> Iterator[str]:
    history = History()
    names = [f"m{n}.py" for n in range(6)]
    history.commit("start", {name: FUNCTION.format(n=n, v=0) for n, name in enumerate(names)}, day=0)
    for step in range(1, 60 + plan.pushes):
        history.commit(f"fix: m{step % 6}", {names[step % 6]: FUNCTION.format(n=step % 6, v=step)}, day=step * 3)
    path = history.write(at.root / "busy.git")
    listed = subprocess.run(["git", "-C", path, "rev-list", "--first-parent", "main"], capture_output=True, text=True)
    commits = listed.stdout.split()[::-1][-plan.pushes - 1 :]
    move(path, commits[0])
    at.installed("busy", ["shop"], [path])
    wait_for(lambda: len(at.github.do("check_runs")) == 1, 120)
    every = timedelta(hours=1) / plan.pushes
    began = at.clock.now()
    for number, sha in enumerate(commits[1:], start=1):
        while at.clock.now() < began + number * every:
            time.sleep(0.002)
        move(path, sha)
        at.github.do("act", repository="busy/shop", act="pushed")
    ended = at.clock.now()
    wait_for(lambda: at.github.do("check_runs")[-1]["head_sha"] == commits[-1], 4 * 3600 / plan.factor)
    settled = at.clock.now()
    runs = at.github.do("check_runs")[1:]
    hour = sum(datetime.fromisoformat(run["created_at"]) <= ended for run in runs)
    yield (
        f"{plan.pushes} pushes within {_minutes(ended - began)}: {len(runs)} check runs, {hour} of them within it "
        f"(target at most 6), the last on the final head {_minutes(settled - ended)} after the last push"
    )


def limits_alone(began: datetime, writes: int) -> datetime:
    """When so many writes could have been made at best."""
    times: list[datetime] = []
    for _ in range(writes):
        times.append(next_write(times[-500:], times[-1] if times else began))
    return times[-1]


def screening_began(at: Stage, installation_id: int) -> datetime | None:
    query = "SELECT min(started_at) FROM jobs WHERE installation_id = ? AND kind = 'screen'"
    found = at.rows(query, installation_id)[0][0]
    return None if found is None else datetime.fromisoformat(found).replace(tzinfo=UTC)


def small_history(path: Path, kind: int) -> Path:
    """Some twenty commits on three files, over four years."""
    history = History()
    history.commit("start", {f"m{n}.py": FUNCTION.format(n=n, v=kind) for n in range(3)}, day=0)
    for step in range(1, 20):
        change = {f"m{step % 3}.py": FUNCTION.format(n=step % 3, v=1_000 * kind + step)}
        history.commit(f"fix: wrong sum in m{step % 3}", change, day=step * 75)
    return history.write(path)


def move(git_dir: Path, sha: str) -> None:
    subprocess.run(["git", "-C", git_dir, "update-ref", "refs/heads/main", sha], check=True)


def wait_for(is_so: Any, within_s: float) -> None:
    give_up_at_s = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > give_up_at_s:
            raise TimeoutError(f"not within {within_s:.0f} s")
        time.sleep(0.1)


def _ratio(took: timedelta, allowed: timedelta) -> str:
    return f"{took / allowed:.2f}" if allowed else "–"


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.1f} min"


if __name__ == "__main__":
    sys.exit(main())
