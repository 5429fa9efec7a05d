"""Scheduling is fair between installations, respects caps, claims each job once, and stays fast."""

from __future__ import annotations

import asyncio
import collections
import multiprocessing
import statistics
import time
from datetime import timedelta
from typing import Any

import pytest

from bot.records import Job, JobKind
from bot.store.database import Database
from bot.store.installations import save_installation
from bot.store.jobs import cancel_jobs, claim_job, finish_job, free_turns, request_job
from bot.store.tables import jobs
from bot.store.turns import waits_for_a_slot
from tests.bot.store.conftest import Store
from tests.bot.store.values import NOW, after, installation
from tests.builders.patience import PATIENCE_S

LIGHT: tuple[JobKind, ...] = ("sync_installation", "sync_repository", "post", "command", "reconcile", "purge")
PLENTY: dict[JobKind, int] = {"screen": 1000, "post": 1000}


class Turns:
    """Claims, each a second of real time after the one before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._real_s = 0

    def next(self, *kinds: JobKind, at_s: float = 0, caps: Any = None) -> Job | None:
        self._real_s += 1
        return self._store(claim_job, kinds or ("screen",), after(at_s), after(self._real_s), caps=caps)

    def all(self, *kinds: JobKind, at_s: float = 0, caps: Any = None) -> list[tuple[int, int]]:
        """(installation, repository) of every job, as they are served."""
        served = []
        while job := self.next(*kinds, at_s=at_s, caps=caps):
            served.append((job.installation_id, job.repository_id))
        return served


@pytest.fixture
def turns(store: Store) -> Turns:
    for installation_id in (1, 2, 3):
        store(save_installation, installation(installation_id), NOW)
    return Turns(store)


def ask(store: Store, installation_id: int, *repository_ids: int, kind: JobKind = "screen", at_s: float = 0) -> None:
    for repository_id in repository_ids:
        store(request_job, installation_id, repository_id, kind, NOW, not_before=after(at_s))


def test_without_open_jobs_nothing_is_due(turns: Turns) -> None:
    assert turns.next() is None
    assert turns.next("post", "command") is None


def test_installations_take_turns_however_many_jobs_one_has_waiting(store: Store, turns: Turns) -> None:
    ask(store, 1, *range(10, 16))
    ask(store, 2, 20, 21)
    ask(store, 3, 30)
    served = turns.all(caps=PLENTY)
    assert served == [(1, 10), (2, 20), (3, 30), (1, 11), (2, 21), (1, 12), (1, 13), (1, 14), (1, 15)]


def test_a_newcomer_is_served_next(store: Store, turns: Turns) -> None:
    ask(store, 1, *range(10, 16))
    assert [turns.next(caps=PLENTY) is not None for _ in range(3)] == [True] * 3
    ask(store, 2, 20)
    assert turns.all(caps=PLENTY)[0] == (2, 20)


def test_within_an_installation_the_longest_due_comes_first(store: Store, turns: Turns) -> None:
    ask(store, 1, 10, at_s=30)
    ask(store, 1, 11, at_s=10)
    ask(store, 1, 12, kind="post", at_s=20)
    ask(store, 1, 13, at_s=10)
    ask(store, 1, 14, at_s=31)
    assert turns.all("screen", "post", at_s=30, caps=PLENTY) == [(1, 11), (1, 13), (1, 12), (1, 10)]
    assert turns.all("screen", at_s=31, caps=PLENTY) == [(1, 14)]


def test_a_cap_applies_per_kind_and_installation(store: Store, turns: Turns) -> None:
    ask(store, 1, 10, 11, 12)
    ask(store, 1, 10, 11, kind="post")
    ask(store, 2, 20, 21, 22, 23)
    caps: dict[JobKind, int] = {"screen": 2}
    served = turns.all("screen", "post", caps=caps)
    assert collections.Counter(served) == collections.Counter({(1, 10): 2, (1, 11): 1, (2, 20): 1, (2, 21): 1})


def test_installations_are_passed_over(store: Store, turns: Turns) -> None:
    ask(store, 1, 10)
    ask(store, 2, 20)
    passed = [
        store(claim_job, ["screen"], NOW, NOW, without=[1, 3]),
        store(claim_job, ["screen"], NOW, NOW, without=[1]),
    ]
    assert [job and job.installation_id for job in passed] == [2, None]
    assert turns.all() == [(1, 10)]


def test_an_installation_waits_for_a_slot_once_it_has_been_due_and_has_none(store: Store, turns: Turns) -> None:
    ask(store, 1, 10, 11)
    assert store(waits_for_a_slot, ["screen", "prepare"], NOW)
    assert not store(waits_for_a_slot, ["screen", "prepare"], after(-5))
    assert not store(waits_for_a_slot, ["post"], NOW)
    assert turns.next() is not None
    assert not store(waits_for_a_slot, ["screen", "prepare"], NOW)  # it has one
    ask(store, 2, 20, kind="prepare")
    assert store(waits_for_a_slot, ["screen", "prepare"], NOW)


def test_a_slot_is_free_again_when_a_job_ends(store: Store, turns: Turns) -> None:
    ask(store, 1, 10, 11, kind="post")
    first = turns.next("post")
    assert first is not None
    assert turns.next("post") is None
    store(finish_job, first, "done", NOW)
    second = turns.next("post")
    assert second is not None
    assert second.repository_id == 11


def test_as_many_turns_are_free_as_claims_would_succeed(store: Store, turns: Turns) -> None:
    ask(store, 1, 10, 11, 12)
    ask(store, 1, 13, at_s=60)
    ask(store, 2, 20)
    ask(store, 2, 20, kind="post")
    caps: dict[JobKind, int] = {"screen": 2}
    for left in (3, 2, 1, 0):
        assert store(free_turns, NOW, caps) == left
        assert (turns.next(caps=caps) is not None) == (left > 0)


def test_the_servers_own_jobs_come_first(store: Store, turns: Turns) -> None:
    ask(store, 1, 10, 11, kind="post", at_s=-100)
    ask(store, 0, 0, kind="purge")
    ask(store, 0, 0, kind="reconcile")
    assert turns.all(*LIGHT, caps=PLENTY)[:2] == [(1, 10), (0, 0)]


def test_a_job_of_an_installation_that_is_not_stored_yet_is_served(store: Store, turns: Turns) -> None:
    ask(store, 99, 0, kind="sync_installation")
    assert turns.all(*LIGHT) == [(99, 0)]


def test_a_claimed_job_has_a_lease(store: Store, turns: Turns) -> None:
    ask(store, 1, 10)
    job = store(claim_job, ["screen"], after(5), NOW, lease_s=30)
    assert job is not None
    assert (job.state, job.attempts) == ("running", 1)
    assert len(job.lease_token) == 32
    (row,) = store.rows(jobs)
    assert row["lease_until"] == NOW + timedelta(seconds=30)
    assert row["started_at"] == after(5)


def test_a_cancelled_job_is_never_claimed(store: Store, turns: Turns) -> None:
    ask(store, 1, 10, 11)
    assert store(cancel_jobs, 1, 10, reason="gone") == 1
    assert turns.all(caps=PLENTY) == [(1, 11)]


# Many processes at once


def claim_all(url: str, kind: JobKind, cap: int, found: Any, start: Any) -> None:
    """What a worker does, until there is nothing left."""

    async def work() -> list[int]:
        database = await Database.open(url)
        taken = []
        start.wait(60)
        while True:
            async with database.write() as connection:
                job = await claim_job(connection, [kind], after(1), after(1), caps={kind: cap})
            if job is None:
                break
            taken.append(job.job_id)
        await database.close()
        return taken

    found.put(asyncio.run(work()))


def claimed_by_processes(url: str, kind: JobKind, cap: int) -> list[list[int]]:
    context = multiprocessing.get_context("spawn")
    found, start = context.Queue(), context.Barrier(4)
    processes = [context.Process(target=claim_all, args=(url, kind, cap, found, start)) for _ in range(4)]
    for process in processes:
        process.start()
    taken = [found.get(timeout=PATIENCE_S) for _ in processes]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    return taken


@pytest.mark.faults
def test_concurrent_processes_claim_each_job_once(store: Store, turns: Turns) -> None:
    async def ask_for_many() -> None:
        async with store.database.write() as connection:
            for number in range(400):
                await request_job(connection, number % 4, number, "screen", NOW)

    store.run(ask_for_many())
    taken = claimed_by_processes(store.url, "screen", 1000)
    assert sorted(job_id for ids in taken for job_id in ids) == sorted(row["job_id"] for row in store.rows(jobs))
    assert sum(bool(ids) for ids in taken) > 1, "one process did it all: nothing was tested"


@pytest.mark.faults
def test_a_cap_holds_between_processes(store: Store, turns: Turns) -> None:
    for installation_id in (1, 2, 3):
        ask(store, installation_id, *range(10), kind="post")
    claimed_by_processes(store.url, "post", 1)
    running = [row["installation_id"] for row in store.rows(jobs) if row["state"] == "running"]
    assert sorted(running) == [1, 2, 3]


def test_a_claim_takes_as_long_with_ten_thousand_open_jobs_as_with_few(store: Store, turns: Turns) -> None:
    """A tenth of a second is generous for a busy machine; reading all the rows would take several times as long."""
    row = {"kind": "screen", "state": "open", "attempts": 0, "made_at": NOW, "not_before": NOW, "arguments": {}}

    async def fill(connection: Any) -> None:
        many = [row | {"installation_id": 1, "repository_id": number} for number in range(10_000)]
        await connection.execute(jobs.insert(), many)

    store(fill)
    ask(store, 2, 20)
    served, seconds = [], []
    for kinds in (("screen",), ("screen",), LIGHT, ("screen",), LIGHT):
        begun = time.perf_counter()
        job = turns.next(*kinds, caps=PLENTY)
        seconds.append(time.perf_counter() - begun)
        served.append(job and job.installation_id)
    assert served == [2, 1, None, 1, None] or served == [1, 2, None, 1, None]
    assert statistics.median(seconds) < 0.1
