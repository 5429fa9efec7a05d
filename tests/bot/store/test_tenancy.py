"""No installation sees or changes another's rows."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

import bot.store
from bot.records import Event, Job
from bot.store import (
    SERVER_WIDE,
    check_runs,
    content_writes,
    deliveries,
    installations,
    jobs,
    repositories,
    screenings,
)
from bot.store.tables import (
    bookmarks as bookmark_rows,
)
from bot.store.tables import (
    check_runs as check_run_rows,
)
from bot.store.tables import (
    content_writes as write_rows,
)
from bot.store.tables import (
    jobs as job_rows,
)
from bot.store.tables import (
    metadata,
)
from bot.store.tables import (
    repositories as repository_rows,
)
from tests.bot.store.conftest import Store
from tests.bot.store.tenancy import KEYED, unkeyed_tables
from tests.bot.store.values import HEAD, NOW, after, installation, repository

CARRIES_IT = ("Job", "Repository", "Installation")  # values that say whose they are


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function of bot.store that takes a connection."""
    for module in pkgutil.iter_modules(bot.store.__path__):
        if module.ispkg:
            continue
        for name, function in inspect.getmembers(importlib.import_module(f"bot.store.{module.name}"), callable):
            here = getattr(function, "__module__", "") == f"bot.store.{module.name}"
            if inspect.iscoroutinefunction(function) and here and not name.startswith("_"):
                yield f"{module.name}.{name}", function


FUNCTIONS = dict(functions())


def is_server_wide(name: str) -> bool:
    return name in SERVER_WIDE or name.partition(".")[0] in SERVER_WIDE


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_says_after_its_connection_whose_rows_it_means(name: str) -> None:
    connection, *others = inspect.signature(FUNCTIONS[name]).parameters.values()
    assert (connection.name, connection.annotation) == ("connection", "AsyncConnection")
    if not is_server_wide(name):
        assert others[0].name == "installation_id" or others[0].annotation in CARRIES_IT


def test_every_exception_from_the_rule_is_there() -> None:
    modules = {name.partition(".")[0] for name in FUNCTIONS}
    assert modules | set(FUNCTIONS) >= SERVER_WIDE


UNKEYED = [
    select(job_rows),
    select(job_rows).where(job_rows.c.job_id == 1),
    select(job_rows).where(job_rows.c.installation_id > 1),
    select(job_rows).where(job_rows.c.installation_id == repository_rows.c.installation_id),
    select(job_rows).join(repository_rows, job_rows.c.installation_id == 1),
    update(job_rows).where(job_rows.c.job_id == 1).values(installation_id=1),
    delete(job_rows),
    insert(write_rows).values(written_at=NOW),
]


@pytest.mark.parametrize("statement", UNKEYED, ids=str)
def test_a_statement_without_its_installation_is_found(statement: Any) -> None:
    assert unkeyed_tables(statement, [])


def test_a_statement_with_its_installation_is_left_alone() -> None:
    mine = job_rows.c.installation_id == 1, job_rows.c.job_id == 1
    for statement in (select(job_rows).where(*mine), update(job_rows).where(*mine), delete(job_rows).where(*mine)):
        assert unkeyed_tables(statement, []) == []
    row = {"installation_id": 1, "written_at": NOW}
    assert unkeyed_tables(insert(write_rows), [row, row]) == []
    assert unkeyed_tables(insert(write_rows), [row, {"written_at": NOW}]) == ["content_writes"]


def test_a_function_that_forgets_the_installation_is_stopped(
    store: Store, every_statement_names_its_installation: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_runs, "_of", lambda installation_id, repository_id, name: check_run_rows.c.name == name)
    with pytest.raises(AssertionError, match=r"check_runs\.newest_posted touches check_runs without"):
        store(check_runs.newest_posted, 1, 7, "assay/screen")
    assert every_statement_names_its_installation.pop()


def everything_of(store: Store, installation_id: int, tag: str) -> Job:
    """Rows in every table, the same for each installation but for its number; return a job that is running."""
    ids = installation_id, 7
    store(installations.save_installation, installation(installation_id), NOW)
    store(repositories.save_repository, repository(7, installation_id))
    store(repositories.note_push, *ids, HEAD, True, NOW)
    ranking = {"scorer": "baseline"}
    screening_id = store(
        screenings.save_screening, *ids, HEAD, NOW, {"pairs": 1}, {"verdict": "RUN"}, "", "r1", "c1", ranking
    )
    posted = store(check_runs.make_check_run, *ids, "assay/screen", HEAD, screening_id, "success", NOW)
    store(check_runs.mark_posted, installation_id, posted.row_id, 9, NOW)
    store(check_runs.make_check_run, *ids, "assay/screen", HEAD, screening_id, "success", NOW)
    store(content_writes.reserve_write, installation_id, NOW, lambda times, now: now)
    job_id = store(jobs.request_job, *ids, "screen", NOW)
    job = store(jobs.claim_job, ["screen"], NOW, NOW)
    assert job is not None
    assert (job.job_id, job.installation_id) == (job_id, installation_id)
    store(jobs.request_job, *ids, "post", after(3600))
    (stored,) = store(deliveries.store_deliveries, [(f"guid-{tag}", Event("push", "", *ids))], NOW)
    store(deliveries.finish_delivery, stored.delivery_id, "handled", job_id)
    return job


def rows_of(store: Store, installation_id: int) -> dict[str, list[dict[str, Any]]]:
    """Every row of it, table by table, whatever tables there are."""
    tables = [table for table in metadata.sorted_tables if "installation_id" in table.c]
    return {
        table.name: [row for row in store.rows(table) if row["installation_id"] == installation_id] for table in tables
    }


def all_that_can_be_done_to(job: Job) -> list[tuple[Any, ...]]:
    """A call of every function that takes an installation, with arguments of that job's."""
    me = job.installation_id
    ids = me, job.repository_id
    return [
        (installations.load_installation, me),
        (installations.lock_installation, me),
        (installations.save_installation, installation(me, account_login="renamed"), after(1)),
        (installations.set_installation_state, me, "suspended"),
        (repositories.load_repository, *ids),
        (repositories.list_repositories, me),
        (repositories.save_repository, repository(7, me, full_name="acme/renamed")),
        (repositories.note_push, *ids, "c" * 40, False, after(1)),
        (repositories.answer_push, *ids, "c" * 40),
        (repositories.note_history_changed, *ids),
        (repositories.note_suites_off, *ids),
        (repositories.note_error, *ids, "broken"),
        (repositories.note_screened, *ids, HEAD, after(1), ""),
        (repositories.note_posted, *ids, after(1)),
        (screenings.load_screening, me, 1),
        (screenings.newest_screening, *ids),
        (screenings.newest_measured, *ids),
        (screenings.save_screening, *ids, HEAD, after(1), {}, {}, "crashed", "r1", "c1"),
        (screenings.drop_ranking, *ids),
        (check_runs.newest_posted, *ids, "assay/screen"),
        (check_runs.unposted_check_run, *ids, "assay/screen"),
        *((check_runs.forget_unposted, me, row_id) for row_id in range(1, 6)),
        *((check_runs.mark_posted, me, row_id, 10, after(1)) for row_id in range(1, 6)),
        (check_runs.make_check_run, *ids, "assay/screen", HEAD, 1, "neutral", after(1)),
        (content_writes.reserve_write, me, after(1), lambda times, now: now),
        (jobs.request_job, *ids, "screen", after(1)),
        (jobs.request_job, *ids, "post", after(1)),
        (jobs.delay_jobs, me, "post", after(9)),
        (jobs.recent_jobs, *ids, "screen", NOW),
        (jobs.hold_lease, job),
        (jobs.renew_lease, job, after(60)),
        (jobs.finish_job, job, "done", after(1)),
        (jobs.put_off_job, job, after(1), "later"),
        (jobs.reopen_job, job, after(1), "gone"),
        (jobs.fail_job, job, after(1), "gone"),
        (jobs.cancel_jobs, *ids),
        (jobs.cancel_jobs, me),
        (repositories.delete_repository, *ids),
        (installations.delete_installation, me),
    ]


OPTIONS: dict[Any, dict[str, Any]] = {jobs.put_off_job: {"counts": True}, jobs.cancel_jobs: {"reason": "removed"}}


def test_whatever_one_installation_does_leaves_anothers_rows_alone(store: Store) -> None:
    mine, _ = everything_of(store, 1, "mine"), everything_of(store, 2, "theirs")
    theirs = rows_of(store, 2)
    assert all(theirs.values()), "a table has no row of the other installation: this test would not notice"
    called = set()
    for function, *arguments in all_that_can_be_done_to(mine):
        called.add(function)
        try:
            store(function, *arguments, **OPTIONS.get(function, {}))
        except jobs.LostLease:
            assert function in (jobs.put_off_job, jobs.hold_lease)
        assert rows_of(store, 2) == theirs, f"{function.__name__} of installation 1 changed a row of 2"
    assert called == {function for name, function in FUNCTIONS.items() if not is_server_wide(name)}


def test_a_stolen_number_does_not_reach_anothers_job_or_check_run(store: Store) -> None:
    everything_of(store, 1, "mine")
    job = everything_of(store, 2, "theirs")
    theirs = rows_of(store, 2)
    posing = replace(job, installation_id=1)
    assert not store(jobs.renew_lease, posing, after(60))
    assert not store(jobs.fail_job, posing, NOW, "mine now")
    with pytest.raises(jobs.LostLease):
        store(jobs.finish_job, posing, "done", NOW)
    for row in theirs["check_runs"]:
        store(check_runs.mark_posted, 1, row["row_id"], 66, NOW)
        store(check_runs.forget_unposted, 1, row["row_id"])
    assert store(screenings.load_screening, 1, theirs["screenings"][0]["screening_id"]) is None
    assert rows_of(store, 2) == theirs


def test_a_deleted_installation_leaves_no_row_in_any_table(store: Store) -> None:
    everything_of(store, 1, "mine")
    everything_of(store, 2, "theirs")
    theirs = rows_of(store, 2)
    assert all(rows_of(store, 1).values())
    store(installations.delete_installation, 1)
    assert not any(rows_of(store, 1).values())
    assert rows_of(store, 2) == theirs


def test_a_deleted_repository_leaves_no_row_in_any_table(store: Store) -> None:
    everything_of(store, 1, "mine")
    store(repositories.save_repository, repository(8))
    store(jobs.request_job, 1, 8, "screen", NOW)
    others = [row for rows in rows_of(store, 1).values() for row in rows if row.get("repository_id") == 8]
    store(repositories.delete_repository, 1, 7)
    left = [row for rows in rows_of(store, 1).values() for row in rows if "repository_id" in row]
    assert left == others


@pytest.mark.parametrize(
    ("kind", "delete", "ids"),
    [
        ("remove_installation", installations.delete_installation, (1, 0)),
        ("sync_repository", repositories.delete_repository, (1, 7)),
    ],
)
def test_the_job_that_deletes_stays_until_its_end_and_goes_then(
    store: Store, kind: Any, delete: Any, ids: tuple[int, int]
) -> None:
    everything_of(store, 1, "mine")
    store(jobs.request_job, *ids, kind, NOW)
    job = store(jobs.claim_job, [kind], NOW, NOW)
    assert job is not None
    store(delete, *(ids if ids[1] else ids[:1]), except_job=job.job_id)
    assert [row["job_id"] for row in store.rows(job_rows) if row["repository_id"] == ids[1]] == [job.job_id]
    store(jobs.finish_job, job, "done", NOW)
    assert not any(row for rows in rows_of(store, 1).values() for row in rows if row.get("repository_id") == ids[1])


def test_the_job_that_deletes_is_done_once_more_where_that_was_asked_for(store: Store) -> None:
    store(jobs.request_job, 1, 0, "remove_installation", NOW)
    job = store(jobs.claim_job, ["remove_installation"], NOW, NOW)
    assert job is not None
    store(installations.delete_installation, 1, except_job=job.job_id)
    store(jobs.request_job, 1, 0, "remove_installation", after(5))
    store(jobs.finish_job, job, "done", NOW)
    again = store(jobs.claim_job, ["remove_installation"], after(5), after(5))
    assert again is not None
    store(jobs.finish_job, again, "done", after(6))
    assert [row["state"] for row in store.rows(job_rows)] == ["done"]


def test_bookmarks_are_of_no_installation() -> None:
    assert {table.name for table in metadata.sorted_tables if table not in KEYED} == {bookmark_rows.name}
