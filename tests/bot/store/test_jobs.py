"""The life of a job: requested, claimed, rescheduled, requested again, finished, cancelled, abandoned by its worker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.records import Job, JobKind
from bot.store import jobs
from bot.store.installations import save_installation
from bot.store.jobs import (
    LostLease,
    cancel_jobs,
    claim_job,
    delay_jobs,
    expired_jobs,
    fail_job,
    finish_job,
    hold_lease,
    load_job,
    purge_jobs,
    queue_figures,
    ready_jobs,
    recent_jobs,
    renew_lease,
    reopen_job,
    request_job,
    reschedule_job,
)
from tests.bot.store.conftest import Store
from tests.bot.store.values import NOW, after, installation


@pytest.fixture
def store(store: Store) -> Store:
    store(save_installation, installation(), NOW)
    return store


def ask(store: Store, at_s: float = 0, kind: JobKind = "screen", repository_id: int = 7, **options: Any) -> int:
    return store(request_job, 1, repository_id, kind, NOW, not_before=after(at_s), **options)


def take(store: Store, at_s: float = 0, kind: JobKind = "screen") -> Job:
    job = store(claim_job, [kind], after(at_s), after(at_s), caps={kind: 100})
    assert job is not None
    return job


def load(store: Store, job_id: int) -> Job:
    job = store(load_job, job_id)
    assert job is not None
    return job


# Asked for


def test_a_job_is_due_now_unless_it_is_given_a_time(store: Store) -> None:
    job = load(store, store(request_job, 1, 7, "screen", NOW, arguments={"remeasure": True}))
    assert (job.kind, job.installation_id, job.repository_id) == ("screen", 1, 7)
    assert (job.state, job.attempts, job.made_at, job.not_before) == ("open", 0, NOW, NOW)
    assert job.arguments == {"remeasure": True}
    assert store(load_job, 999) is None


def test_two_requests_give_one_job_with_merged_arguments(store: Store) -> None:
    first = ask(store, arguments={"a": 1, "b": 1})
    assert ask(store, arguments={"b": 2, "c": 2}) == first
    assert load(store, first).arguments == {"a": 1, "b": 2, "c": 2}


def test_another_kind_repository_installation_or_key_is_another_job(store: Store) -> None:
    others = [ask(store, kind="post"), ask(store, repository_id=8), ask(store, key="a"), ask(store, key="b")]
    others.append(store(request_job, 2, 7, "screen", NOW))
    assert len({ask(store), *others}) == 6


@pytest.mark.parametrize(("later", "due_s"), [(False, 10), (True, 60)])
def test_two_requests_are_due_at_the_earlier_or_if_wanted_the_later_time(
    store: Store, later: bool, due_s: float
) -> None:
    for order in ((60, 10), (10, 60)):
        job_ids = {ask(store, at_s, later=later, key=str(order)) for at_s in order}
        assert load(store, job_ids.pop()).not_before == after(due_s)
        assert not job_ids


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_key_of_any_length_fits_the_column_and_stays_unique(one: str, other: str) -> None:
    keys = [jobs._open_key("remove_installation", 2**63, 2**63, key) for key in (one, other)]
    assert max(map(len, keys)) <= 160
    assert (keys[0] == keys[1]) == (one == other)


def test_a_request_during_a_job_reopens_it_at_its_end(store: Store) -> None:
    job_id = ask(store, arguments={"first": True})
    running = take(store)
    assert ask(store, 50, arguments={"a": 1}) == job_id
    assert ask(store, 30, arguments={"b": 2}) == job_id
    assert load(store, job_id) == running, "a job that runs does not change under its worker"
    store(finish_job, running, "done", after(5))
    again = load(store, job_id)
    assert (again.state, again.attempts, again.not_before, again.made_at) == ("open", 0, after(30), after(5))
    assert again.arguments == {"a": 1, "b": 2}
    assert again.lease_token == ""
    store(finish_job, take(store, 30), "done", after(40))
    assert load(store, job_id).state == "done"


def test_a_request_to_run_once_is_ignored_while_the_job_runs(store: Store) -> None:
    job_id = ask(store, arguments={"a": 1})
    assert ask(store, arguments={"b": 2}, once=True) == job_id
    running = take(store)
    assert running.arguments == {"a": 1, "b": 2}
    assert ask(store, once=True) == job_id
    store(finish_job, running, "done", after(5))
    assert load(store, job_id).state == "done"
    assert ask(store, once=True) != job_id


def test_a_failed_job_starts_afresh_if_it_was_requested_again(store: Store) -> None:
    job_id = ask(store)
    running = take(store)
    ask(store)
    assert store(fail_job, running, NOW, "crashed")
    assert load(store, job_id).state == "open"


# Ended


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_an_ended_job_makes_room_for_a_new_one(store: Store, state: Any) -> None:
    job_id = ask(store)
    store(finish_job, take(store), state, after(9), "because")
    ended = load(store, job_id)
    assert (ended.state, ended.reason, ended.lease_token) == (state, "because", "")
    assert ask(store) != job_id


def test_a_rescheduled_job_counts_its_attempt_or_not(store: Store) -> None:
    ask(store, arguments={"a": 1})
    first = take(store)
    ask(store, arguments={"b": 2})
    store(reschedule_job, first, after(60), "rate limit", counts=False)
    assert store(claim_job, ["screen"], after(59), NOW) is None
    second = take(store, 60)
    assert (second.job_id, second.attempts, second.arguments) == (first.job_id, 1, {"a": 1, "b": 2})
    store(reschedule_job, second, after(61), "GitHub answered 502", counts=True)
    assert load(store, second.job_id).reason == "GitHub answered 502"
    assert take(store, 61).attempts == 2


def test_open_jobs_of_a_kind_are_delayed_and_never_advanced(store: Store) -> None:
    soon, late = ask(store, 0, "post"), ask(store, 900, "post", 8)
    other = ask(store, 0)
    assert store(delay_jobs, 1, "post", after(300)) == 1
    assert [load(store, job_id).not_before for job_id in (soon, late, other)] == [after(300), after(900), NOW]


# Leases


def lost(store: Store, job: Job) -> None:
    """Whatever its worker still tries to do with it."""
    assert not store(renew_lease, job, after(90))
    assert not store(fail_job, job, NOW, "late")
    assert not store(reopen_job, job, NOW, "late")
    with pytest.raises(LostLease):
        store(hold_lease, job)
    with pytest.raises(LostLease):
        store(finish_job, job, "done", NOW)
    with pytest.raises(LostLease):
        store(reschedule_job, job, NOW, "late", counts=True)


def test_a_worker_that_lost_its_lease_can_write_nothing(store: Store) -> None:
    job_id = ask(store)
    zombie = take(store)
    assert store(reopen_job, zombie, NOW, "its worker vanished")
    lost(store, zombie)
    successor = take(store)
    assert (successor.job_id, successor.attempts) == (job_id, 2)
    lost(store, zombie)
    store(hold_lease, successor)
    store(finish_job, successor, "done", NOW)
    lost(store, successor)


def test_a_cancelled_job_has_lost_its_lease(store: Store) -> None:
    ask(store)
    running = take(store)
    ask(store)
    assert store(cancel_jobs, 1, reason="uninstalled") == 1
    lost(store, running)
    assert load(store, running.job_id).state == "cancelled"


def test_a_transaction_under_a_lost_lease_writes_nothing(store: Store) -> None:
    async def effect() -> None:
        async with store.database.write() as connection:
            await request_job(connection, 1, 7, "post", NOW)
            await hold_lease(connection, running)

    ask(store)
    running = take(store)
    store(cancel_jobs, 1, reason="uninstalled")
    with pytest.raises(LostLease):
        store.run(effect())
    assert store(ready_jobs, NOW, ["post"], 9) == []


def test_only_jobs_with_an_expired_lease_are_returned(store: Store) -> None:
    job_ids = [ask(store, repository_id=number) for number in range(3)]
    dead, alive, done = (take(store) for _ in job_ids)
    assert store(renew_lease, alive, after(100))
    store(finish_job, done, "done", NOW)
    assert store(expired_jobs, after(30)) == []
    assert [job.job_id for job in store(expired_jobs, after(31))] == [dead.job_id]
    assert store(fail_job, dead, after(31), "five workers died of it")
    assert load(store, dead.job_id).reason == "five workers died of it"
    assert store(expired_jobs, after(99)) == []


# Cancelled, purged, counted


def test_only_open_and_running_jobs_are_cancelled(store: Store) -> None:
    done = ask(store, repository_id=1)
    store(finish_job, take(store), "done", NOW)
    running, opened = ask(store, repository_id=2), ask(store, repository_id=3)
    take(store)
    kept = ask(store, kind="sync_installation", repository_id=0)
    assert store(cancel_jobs, 1, 3, reason="deleted") == 1
    assert store(cancel_jobs, 1, reason="uninstalled", except_job=kept) == 1
    assert store(cancel_jobs, 1, reason="once more", except_job=kept) == 0
    states = {job_id: load(store, job_id).state for job_id in (done, running, opened, kept)}
    assert states == {done: "done", running: "cancelled", opened: "cancelled", kept: "open"}
    assert load(store, opened).reason == "deleted"
    assert ask(store, repository_id=3) != opened


def test_ready_jobs_are_due_of_those_kinds_and_the_longest_due_first(store: Store) -> None:
    late, soon = ask(store, 5, repository_id=1), ask(store, 3, repository_id=2)
    ask(store, 11, repository_id=3)
    post = ask(store, 4, "post")
    assert store(ready_jobs, after(10), ["screen"], 9) == [soon, late]
    assert store(ready_jobs, after(10), ["screen", "post"], 2) == [soon, post]
    assert store(ready_jobs, after(10), [], 9) == []


def test_recent_jobs_are_of_one_kind_and_repository_in_any_state(store: Store) -> None:
    ask(store)
    store(finish_job, take(store), "done", NOW)
    opened = ask(store)
    ask(store, kind="post")
    ask(store, repository_id=8)
    assert sorted(job.state for job in store(recent_jobs, 1, 7, "screen", NOW)) == ["done", "open"]
    assert [job.job_id for job in store(recent_jobs, 1, 8, "screen", NOW)] != [opened]
    assert store(recent_jobs, 1, 7, "screen", after(1)) == []


def test_old_ended_jobs_are_purged_and_open_ones_never(store: Store) -> None:
    old, new, opened, cancelled = (ask(store, repository_id=number) for number in range(4))
    store(finish_job, take(store), "done", after(10))
    store(finish_job, take(store), "failed", after(20))
    store(cancel_jobs, 1, 3, reason="deleted")
    assert store(purge_jobs, after(20)) == 2
    assert [store(load_job, job_id) is None for job_id in (old, new, opened, cancelled)] == [True, False, False, True]


def test_the_queue_is_counted_by_kind_and_state_with_the_oldest(store: Store) -> None:
    assert store(queue_figures, NOW) == []
    ask(store, 10, repository_id=1)
    ask(store, 20, repository_id=2)
    ask(store, 0, repository_id=3)
    ask(store, 500, kind="post")
    store(finish_job, take(store, 5), "done", after(6))
    take(store, 10)
    assert store(queue_figures, after(100)) == [
        ("post", "open", 1, 0.0),
        ("screen", "open", 1, 80.0),
        ("screen", "running", 1, 90.0),
    ]
