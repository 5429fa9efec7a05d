"""Each commit that is re-run gets its check run, the newest head its verdict once, and duplicates are withdrawn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.messages.check_run import SUPERSEDED
from bot.records import StoredCheckRun
from bot.store.check_runs import create_check_run, mark_posted, newest_posted, replace_posted, unposted_check_runs
from bot.store.configs import save_repository_config
from bot.store.jobs import cancel_jobs
from bot.store.repositories import note_push
from tests.builders.finetune_app import commit_nothing
from tests.builders.result_harness import ResultHarness, open_result_harness
from tests.simulator import faults

SCREEN, FINETUNE = "assay/screen", "assay/finetune"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[ResultHarness]:
    with open_result_harness(tmp_path) as harness:
        yield harness


def posts(harness: ResultHarness) -> list[str]:
    """Run every due `post` job and return the reasons of those that posted nothing."""
    reasons = []
    while job := harness.does("post"):
        reasons.append(job.reason)
    return [reason for reason in reasons if reason]


def heads(harness: ResultHarness, name: str = SCREEN) -> list[str]:
    return [run["head_sha"] for run in harness.world.shop.check_runs if run["name"] == name]


def is_posted(harness: ResultHarness) -> str:
    """Post the first verdict, and return its commit."""
    harness.asks_for("post", {})
    assert posts(harness) == []
    (head,) = heads(harness)
    return head


def is_pushed(harness: ResultHarness) -> str:
    """Push a commit, and let the time pass in which a verdict is carried once."""
    head = commit_nothing(harness.world.shop)
    harness.world.clock.advance(timedelta(hours=2))
    harness.write(lambda c: note_push(c, *harness.ids, head, False, harness.now))
    harness.world.clock.advance(timedelta(minutes=2))
    harness.write(lambda c: save_repository_config(c, *harness.ids, {}))  # its own posts nothing but changes
    harness.asks_for("post", {})
    return head


def test_two_commits_that_are_re_run_at_once_are_both_posted(harness: ResultHarness) -> None:
    old = is_posted(harness)
    new = is_pushed(harness)
    assert posts(harness) == []
    for run in list(harness.verdicts()):
        harness.hears(run.rerequest())
    assert posts(harness) == []
    assert heads(harness) == [old, new, old, new]
    assert [run.suite.status for run in harness.verdicts()] == ["completed"] * 4


def test_two_suites_that_are_re_run_at_once_are_both_posted_with_their_results(harness: ResultHarness) -> None:
    old = is_posted(harness)
    run = harness.run_ends(head_sha=old)
    harness.results()
    new = is_pushed(harness)
    posts(harness)
    harness.run_ends(head_sha=new, made_at=harness.now)
    harness.results()
    for suite in {run.suite.suite_id: run.suite for run in harness.world.shop.check_runs}.values():
        harness.hears(suite.rerequest())
    posts(harness)
    harness.results()
    assert heads(harness)[2:] == [old, new]
    assert heads(harness, FINETUNE)[2:] == [old, new]
    assert run.head_sha == old


def test_refusals_on_two_commits_are_both_posted(harness: ResultHarness) -> None:
    old, new = harness.world.head, commit_nothing(harness.world.shop)
    for head in (old, new):
        harness.asks_for("result", {"refused": "skip", "head_sha": head}, key=f"refused/{head}")
    harness.results()
    assert heads(harness, FINETUNE) == [old, new]


def test_a_re_run_of_an_old_commit_does_not_post_the_head_twice(harness: ResultHarness) -> None:
    old = is_posted(harness)
    new = is_pushed(harness)
    posts(harness)
    harness.hears(harness.verdicts()[0].rerequest())
    posts(harness)
    harness.world.clock.advance(timedelta(hours=2))
    harness.write(lambda c: note_push(c, *harness.ids, new, False, harness.now))
    harness.world.clock.advance(timedelta(minutes=2))
    harness.write(lambda c: save_repository_config(c, *harness.ids, {}))
    harness.asks_for("post", {})
    reasons = posts(harness)
    assert heads(harness) == [old, new, old]
    assert reasons == ["nothing new"]


def test_a_re_run_of_an_old_commit_does_not_take_the_verdict_from_the_head(harness: ResultHarness) -> None:
    old = is_posted(harness)
    new = commit_nothing(harness.world.shop)
    harness.is_measured()
    harness.hears(harness.verdicts()[0].rerequest())  # shows what was measured last, before the head does
    harness.asks_for("post", {})
    posts(harness)
    assert sorted(heads(harness)) == sorted([old, old, new])


def test_a_head_that_a_repetition_shows_already_is_not_posted_again(harness: ResultHarness) -> None:
    is_posted(harness)
    new = commit_nothing(harness.world.shop)
    harness.asks_for("post", {"again": True, "head_sha": new}, key=f"again/{new}")
    posts(harness)
    harness.world.clock.advance(timedelta(hours=2))
    harness.write(lambda c: note_push(c, *harness.ids, new, False, harness.now))
    harness.world.clock.advance(timedelta(minutes=2))
    harness.write(lambda c: save_repository_config(c, *harness.ids, {}))
    harness.asks_for("post", {})
    assert posts(harness) == ["it is posted already"]
    assert heads(harness).count(new) == 1


# A request that is still on its way when another worker takes over


def unposted(harness: ResultHarness, head: str, **changes: Any) -> StoredCheckRun:
    """A row whose request got no response."""
    values: dict[str, Any] = {"name": SCREEN, "screening_id": 1, "conclusion": "success", "at": harness.now} | changes
    again = bool(changes.get("again"))
    row = harness.write(
        lambda c: create_check_run(
            c,
            *harness.ids,
            values["name"],
            head,
            values["screening_id"],
            values["conclusion"],
            values["at"],
            run_id=changes.get("run_id", 0),
            again=again,
        )
    )
    assert isinstance(row, StoredCheckRun)
    return row


def arrives(harness: ResultHarness, row: StoredCheckRun) -> int:
    """GitHub gets the request of a row."""
    body = {"name": row.name, "head_sha": row.head_sha, "status": "completed", "conclusion": row.conclusion}
    path = f"/repos/{harness.world.shop.full_name}/check-runs"
    token = harness.world.installation.token()
    return int(harness.world.ask("POST", path, body | {"external_id": row.external_id}, token=token).json()["id"])


def standing(harness: ResultHarness, name: str = SCREEN) -> list[int]:
    """The check runs on GitHub that are not superseded."""
    runs = [run for run in harness.world.shop.check_runs if run["name"] == name]
    return [run["id"] for run in runs if run["output"]["title"] != "Superseded by a newer check run"]


@pytest.mark.parametrize("is_last", [True, False])
def test_two_requests_of_a_row_leave_one_check_run_standing(harness: ResultHarness, is_last: bool) -> None:
    """`is_last`: the one that was on its way arrives after the one that took its place."""
    head = is_posted(harness)
    (number,) = [run["id"] for run in harness.verdicts()]
    row = harness.read(lambda c: newest_posted(c, *harness.ids, SCREEN))
    harness.write(lambda c: replace_posted(c, harness.ids[0], row.row_id, 0))
    del harness.world.shop.check_runs[:]  # not there yet
    if not is_last:
        path = f"POST /repos/{harness.world.shop.full_name}/check-runs"
        harness.world.github.fault(path, faults.before(lambda: arrives(harness, row)), 1)
    harness.asks_for("post", {})
    assert posts(harness) == []
    if is_last:
        arrives(harness, row)
    harness.world.clock.advance(timedelta(minutes=1))
    assert posts(harness) == ["duplicates withdrawn"]
    newest = max(run["id"] for run in harness.verdicts())
    assert standing(harness) == [newest] != [number]
    posted = harness.read(lambda c: newest_posted(c, *harness.ids, SCREEN))
    assert (posted.row_id, posted.check_run_id, posted.head_sha) == (row.row_id, newest, head)
    (withdrawn,) = [run for run in harness.verdicts() if run["id"] != newest]
    assert (withdrawn["conclusion"], withdrawn["output"]["summary"]) == ("neutral", SUPERSEDED)
    assert (withdrawn.actions, withdrawn.suite.status) == ([], "completed")
    harness.asks_for("post", {"duplicates_of": row.row_id}, key=f"duplicates/{row.row_id}")
    assert posts(harness) == ["there is no duplicate"]


def test_two_requests_of_a_result_leave_one_check_run_standing(harness: ResultHarness) -> None:
    run = harness.run_ends()
    row = unposted(harness, run.head_sha, name=FINETUNE, run_id=run.run_id)
    harness.results()
    late = arrives(harness, row)
    harness.world.clock.advance(timedelta(minutes=1))
    assert posts(harness) == ["duplicates withdrawn"]
    assert standing(harness, FINETUNE) == [late]


def test_a_worker_that_lost_its_job_looks_whether_another_wrote_too(harness: ResultHarness) -> None:
    """It froze with its request on the way, and when the response comes another worker holds the job."""
    harness.asks_for("post", {})
    (job,) = harness.jobs("post")

    async def take_over() -> None:
        async with harness.database.write() as connection:
            (row,) = await unposted_check_runs(connection, *harness.ids, SCREEN)
            await mark_posted(connection, harness.ids[0], row.row_id, others[0], harness.now)
            await cancel_jobs(connection, harness.ids[0], reason="another worker did it")

    def freeze() -> None:
        rows = asyncio.run_coroutine_threadsafe(written(), harness.runner.get_loop()).result()
        others.append(arrives(harness, rows[0]))
        asyncio.run_coroutine_threadsafe(take_over(), harness.runner.get_loop()).result()

    async def written() -> list[StoredCheckRun]:
        async with harness.database.read() as connection:
            return await unposted_check_runs(connection, *harness.ids, SCREEN)

    others: list[int] = []
    harness.world.github.fault(f"POST /repos/{harness.world.shop.full_name}/check-runs", faults.before(freeze), 1)
    harness.does("post")
    assert (harness.outcomes[-1], len(standing(harness))) == ("lost", 2)
    assert posts(harness) == ["duplicates withdrawn"]
    assert standing(harness) == [max(run["id"] for run in harness.verdicts())]
    assert job.kind == "post"


def test_a_commit_that_is_re_run_is_not_satisfied_by_what_was_written_on_another(harness: ResultHarness) -> None:
    old = is_posted(harness)
    new = is_pushed(harness)
    posts(harness)
    row = unposted(harness, old, again=True)
    arrives(harness, row)
    harness.hears(harness.verdicts()[1].rerequest())
    posts(harness)
    assert heads(harness) == [old, new, old, new]


def test_a_commit_that_is_re_run_is_not_satisfied_by_what_was_written_before(harness: ResultHarness) -> None:
    head = harness.world.head
    row = unposted(harness, head)
    arrives(harness, row)
    harness.world.clock.advance(timedelta(seconds=5))
    harness.hears(harness.verdicts()[0].rerequest())
    posts(harness)
    assert heads(harness) == [head, head]
    assert harness.verdicts()[0].suite.status == "completed"
    run = harness.run_ends()
    arrives(harness, unposted(harness, head, name=FINETUNE, run_id=run.run_id))
    harness.world.clock.advance(timedelta(seconds=5))
    harness.hears(harness.told()[0].rerequest())
    harness.results()
    assert heads(harness, FINETUNE) == [head, head]
