"""What is left over when all is done: of jobs, runs, check runs, replies, minutes, the ledger, files and processes.

Whatever happened to an App, `left_over` finds nothing once it is at rest. Each sentence names one thing that is wrong.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select

from bot.calibration.versions import load_rows, recompute, threshold_of
from bot.records import Run
from bot.store.budgets import usage_of
from bot.store.calibrations import calibrations_of
from bot.store.ledger import entries_of
from bot.store.reply_comments import GIVEN_UP
from bot.store.runs import all_runs
from bot.store.tables import check_runs, jobs, metadata, replies, runs
from pipeline.reports.finetune_figures import load_figures
from tests.simulator.github import GitHub

PERIODIC = ("reconcile", "purge", "recalibrate")
OF_WHO_IS_GONE = {"removed_minutes", "shared_outcomes", "jobs", "content_writes"}  # what may stay, or goes by itself
SAYS = {  # the reply to a run that ended; of a finished one it is the outcome
    "crashed": "Crashed without a result.",
    "cancelled": "Cancelled without a result.",
    "timed_out": "Timed out without a result.",
    "out_of_budget": "Not started: the GPU budget does not cover it.",
    "refused": "Not started.",
}


@dataclass(frozen=True)
class Places:
    artifacts: Path
    scratch: Path  # of GPU workers, none of which runs any more
    gates: Path  # where processes that train left their numbers


async def left_over(connection: Any, github: GitHub, places: Places, now: datetime) -> list[str]:
    ended = await all_runs(connection)
    found = [
        *await _jobs(connection, now),
        *await _leases(connection),
        *_runs(ended),
        *await _checks(connection, github, ended),
        *await _replies(connection, github, {run.run_id: run for run in ended}),
        *await _gone(connection, github),
        *_files(places, ended),
        *_processes(places),
    ]
    for installation_id in sorted(github.installations):
        found += await _ledger(connection, installation_id, ended)
        found += await _minutes(connection, installation_id, ended)
    return found


async def _jobs(connection: Any, now: datetime) -> list[str]:
    rows = (await connection.execute(select(jobs))).all()
    waits = [row for row in rows if row.state == "open" and row.kind not in PERIODIC]
    bad = [row for row in rows if row.state in ("running", "failed") or (row.lease_token and row.state != "done")]
    return [f"job {row.kind} is {row.state} until {row.not_before} ({row.reason})" for row in (*waits, *bad)]


async def _leases(connection: Any) -> list[str]:
    rows = (await connection.execute(select(runs))).all()
    held = (row for row in rows if row.lease_token or row.lease_until or row.open_key)
    return [f"run {row.run_id} is held" for row in held]


def _runs(ended: list[Run]) -> Iterator[str]:
    for run in ended:
        if run.state != "ended" or not run.settled:
            yield f"run {run.run_id} is {run.state}, settled: {run.settled}"


async def _checks(connection: Any, github: GitHub, ended: list[Run]) -> list[str]:
    """Every check run is completed and known; a judged run has one of its own at the commit that was pinned."""
    rows = (await connection.execute(select(check_runs))).all()
    found = [f"{run['name']} is {run['status']}" for run in github.check_runs.values() if run["status"] != "completed"]
    found += [f"row {row.row_id} of {row.name} has no number" for row in rows if not row.check_run_id]
    external = Counter((run.repository.repository_id, run["external_id"]) for run in github.check_runs.values())
    found += [f"{name} is there {count} times" for (_, name), count in external.items() if count > 1]
    for run in (each for each in ended if each.purpose == "judge"):
        posted = [github.check_runs.get(row.check_run_id) for row in rows if row.run_id == run.run_id]
        if not posted or any(check is None or check["head_sha"] != run.head_sha for check in posted):
            found.append(f"run {run.run_id} has no check run at its commit")
    return found


async def _replies(connection: Any, github: GitHub, known: Mapping[int, Run]) -> list[str]:
    """What stands on GitHub is what was written last, and says how the run ended."""
    found = []
    for row in (await connection.execute(select(replies))).all():
        comment = github.comments.get(row.posted_id)
        if row.posted_digest == GIVEN_UP:
            continue
        if comment is None or hashlib.sha256(comment.body.encode()).hexdigest() != row.posted_digest:
            found.append(f"reply {row.reply_id} is not what GitHub shows")
        elif row.run_id and how_it_ended(known[row.run_id]) not in comment.body.split("\n")[0]:
            found.append(f"reply {row.reply_id} does not say {how_it_ended(known[row.run_id])}: {comment.body}")
    return found


def how_it_ended(run: Run) -> str:
    return str(load_figures(run.result).outcome) if run.ending == "finished" else SAYS[run.ending or ""]


async def _gone(connection: Any, github: GitHub) -> list[str]:
    """Rows of installations and repositories that are not there any more."""
    found = []
    for name, table in metadata.tables.items():
        if "installation_id" not in table.c or name in OF_WHO_IS_GONE:
            continue
        for row in (await connection.execute(select(table))).all():
            installation = github.installations.get(row.installation_id)
            of_it = {0} | {each.repository_id for each in installation.repositories} if installation else {0}
            if (row.installation_id and installation is None) or getattr(row, "repository_id", 0) not in of_it:
                found.append(f"a row of {name} of who is gone")
    return found


async def _ledger(connection: Any, installation_id: int, ended: list[Run]) -> list[str]:
    """Each finished run stands in it once, after its prediction; every version follows from its inputs."""
    judged = [run for run in ended if (run.installation_id, run.purpose) == (installation_id, "judge")]
    finished = Counter(run.run_id for run in judged if run.ending == "finished")
    kinds = [(row.run_id, row.entry["kind"]) for row in await entries_of(connection, installation_id)]
    found = []
    for kind in ("prediction", "outcomes"):
        if (written := Counter(run_id for run_id, its in kinds if its == kind)) != finished:
            found.append(f"the ledger has {kind} of the runs {dict(written)}, and {dict(finished)} finished")
    rows = await load_rows(connection, installation_id)
    for stored in await calibrations_of(connection, installation_id):
        if recompute(stored, rows) != threshold_of(stored):
            found.append(f"version {stored.version} does not follow from its inputs")
    return found


async def _minutes(connection: Any, installation_id: int, ended: list[Run]) -> list[str]:
    months = {run.budget_month for run in ended if run.installation_id == installation_id and run.budget_month}
    usages = {month: await usage_of(connection, installation_id, month) for month in sorted(months)}
    return [f"{usage.reserved} minutes of {month} are reserved" for month, usage in usages.items() if usage.reserved]


def _files(places: Places, ended: list[Run]) -> Iterator[str]:
    """Of a run what it says that it left, and what it read; nothing in the workers' own folders."""
    kept = {run.artifacts for run in ended if run.artifacts}
    for path in sorted(places.artifacts.rglob("*")):
        name = path.relative_to(places.artifacts).as_posix()
        if path.is_file() and "/pairs/" not in name and not any(name.startswith(f"{each}/") for each in kept):
            yield f"{name} is left in the store"
    for artifacts in sorted(kept):
        if not (places.artifacts / artifacts).is_dir():
            yield f"{artifacts} is not in the store"
    for path in places.scratch.iterdir():
        yield f"{path.name} is left in the scratch folder"


def _processes(places: Places) -> Iterator[str]:
    for mark in sorted(places.gates.glob("*-begun")):
        try:
            if "finetune_gpu" in " ".join(psutil.Process(int(mark.read_text())).cmdline()):
                yield f"process {mark.read_text()} still trains"
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass
