"""No installation sees or changes another's rows."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

import bot.store
from bot.store import SERVER_WIDE, check_runs, installations, jobs, repositories, runs
from bot.store.tables import bookmarks as bookmark_rows
from bot.store.tables import check_runs as check_run_rows
from bot.store.tables import content_writes as write_rows
from bot.store.tables import gpu_workers as gpu_worker_rows
from bot.store.tables import jobs as job_rows
from bot.store.tables import metadata
from bot.store.tables import removed_minutes as removed_rows
from bot.store.tables import repositories as repository_rows
from bot.store.tables import shared_outcomes as shared_rows
from tests.bot.store.conftest import Store
from tests.bot.store.everything import MONTH, OPTIONS, all_that_can_be_done_to, everything_of
from tests.bot.store.tenancy import KEYED, unkeyed_tables
from tests.bot.store.values import NOW, after, repository

CARRIES_IT = ("Job", "Run", "Repository", "Installation")  # values that say whose they are


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


def test_a_function_says_after_its_connection_whose_rows_it_means(subtests: pytest.Subtests) -> None:
    for name in sorted(FUNCTIONS):
        with subtests.test(name=name):
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


def test_a_statement_without_its_installation_is_found() -> None:
    wrong = [statement for statement in UNKEYED if not unkeyed_tables(statement, [])]
    assert wrong == []


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


def rows_of(store: Store, installation_id: int) -> dict[str, list[dict[str, Any]]]:
    """Every row of it, table by table, whatever tables there are."""
    owned = dict.fromkeys(KEYED, "installation_id") | {shared_rows: "origin_installation_id"}
    return {
        table.name: [row for row in store.rows(table) if row[owner] == installation_id]
        for table, owner in owned.items()
    }


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
            assert function in (jobs.reschedule_job, runs.finish_run)  # a call before it gave the lease back
        assert rows_of(store, 2) == theirs, f"{function.__name__} of installation 1 changed a row of 2"
    assert called == {function for name, function in FUNCTIONS.items() if not is_server_wide(name)}


def test_ids_and_leases_of_another_installation_reach_none_of_its_rows(store: Store) -> None:
    everything_of(store, 1, "mine")
    stolen = everything_of(store, 2, "theirs").posing_as(1)
    theirs = rows_of(store, 2)
    refused = set()
    for function, *arguments in all_that_can_be_done_to(stolen):
        try:
            found = store(function, *arguments, **OPTIONS.get(function, {}))
        except jobs.LostLease:
            refused.add(function)
        else:
            assert "installation_id=2" not in repr(found), f"{function.__name__} showed a row of 2 to installation 1"
        assert rows_of(store, 2) == theirs, f"{function.__name__} of installation 1 changed a row of 2"
    fenced = {runs.note_progress, runs.note_checkpoint, runs.give_back_run, runs.finish_run}
    assert refused == fenced | {jobs.hold_lease, jobs.finish_job, jobs.reschedule_job}


def test_a_deleted_installation_leaves_no_row_in_any_table(store: Store) -> None:
    everything_of(store, 1, "mine")
    everything_of(store, 2, "theirs")
    theirs = rows_of(store, 2)
    assert all(rows_of(store, 1).values())
    store(installations.delete_installation, 1)
    assert not any(rows_of(store, 1).values())
    assert rows_of(store, 2) == theirs


def test_only_anonymous_rows_of_a_deleted_installation_remain(store: Store) -> None:
    everything_of(store, 1, "mine")
    (shared,) = store.rows(shared_rows)
    store(installations.delete_installation, 1)
    # a run of a repository that went before, and one that went with it: each had 60 minutes reserved
    assert store.rows(removed_rows) == [{"installation_id": 0, "budget_month": MONTH, "minutes": 120.0}]
    assert store.rows(shared_rows) == [shared | {"origin_installation_id": None, "origin_repository_id": None}]


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
def test_the_deleting_job_is_deleted_when_it_ends(store: Store, kind: Any, delete: Any, ids: tuple[int, int]) -> None:
    everything_of(store, 1, "mine")
    store(jobs.request_job, *ids, kind, NOW)
    job = store(jobs.claim_job, [kind], NOW, NOW)
    assert job is not None
    store(delete, *(ids if ids[1] else ids[:1]), except_job=job.job_id)
    assert [row["job_id"] for row in store.rows(job_rows) if row["repository_id"] == ids[1]] == [job.job_id]
    store(jobs.finish_job, job, "done", NOW)
    assert not any(row for rows in rows_of(store, 1).values() for row in rows if row.get("repository_id") == ids[1])


def test_the_deleting_job_reopens_if_it_was_requested_again(store: Store) -> None:
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


def test_tables_without_an_installation_are_the_servers_own_or_shared_on_purpose() -> None:
    """What is shared is read by all who share; whose it is, as long as that is known, is in columns of another name."""
    unkeyed = {table for table in metadata.sorted_tables if table not in KEYED}
    assert unkeyed == {bookmark_rows, gpu_worker_rows, shared_rows}
