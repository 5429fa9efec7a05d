"""Write the newest verdict as one completed check run: decided first, counted, remembered, then sent.

The row is there before GitHub is told, so a worker that dies in between leaves something to look for: the next one asks
GitHub for a check run with its `external_id` and writes only where there is none.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import structlog

from bot.github.checks import screen_check
from bot.github.client import InstallationClient
from bot.github.pace import next_write
from bot.github.problems import Forbidden, NotFound, Rejected
from bot.github.situation import Situation
from bot.ingress.dispatch import SCREEN_CHECK
from bot.jobs import posting
from bot.jobs.work import WRITE_CHECKS, Done, Later, Outcome, Work
from bot.records import CheckRunFields, Installation, RepositoryMemory, StoredCheckRun, StoredScreening
from bot.store.check_runs import forget_unposted, make_check_run, mark_posted, newest_posted, unposted_check_run
from bot.store.content_writes import reserve_write
from bot.store.installations import load_installation
from bot.store.jobs import delay_jobs, request_job
from bot.store.repositories import answer_push, load_repository, note_suites_off
from bot.store.screenings import load_screening, newest_screening

log = structlog.get_logger(__name__)

ON_THE_WAY: Final = timedelta(seconds=10)  # a request may arrive so much later than it was counted


@dataclass(frozen=True)
class Known:
    """What our rows say of a repository and its check runs."""

    installation: Installation
    memory: RepositoryMemory
    newest: StoredScreening | None
    posted: StoredCheckRun | None
    posted_screening: StoredScreening | None
    unposted: StoredCheckRun | None

    @property
    def full_name(self) -> str:
        return self.memory.repository.full_name


async def post(work: Work) -> Outcome:
    """Bring the check run of a repository up to date, measure first, wait, or leave it."""
    known = await _load(work)
    if known is None:
        return Done("no such repository")
    if known.installation.state != "active":
        return await work.not_served(known.installation)
    if known.unposted is not None:
        if await _adopt(work, known, known.unposted) and _is_again(work):
            return Done("written before")
        known = await _load(work) or known
    policy = work.parts.policy
    ask = posting.Ask(again=_is_again(work), observe=policy.mode == "observe", quiet=policy.quiet)
    decision = posting.decide(known.memory, known.newest, known.posted, known.posted_screening, ask, work.now())
    match decision:
        case posting.Wait(until, reason):
            return Later(until, reason)
        case posting.Measure(reason):
            async with work.conclusion(reason) as connection:
                await request_job(connection, work.installation_id, work.repository_id, "screen", work.now())
            return Done()
        case posting.Nothing(reason):
            return await _leave(work, known, reason)
        case posting.Post():
            assert known.newest is not None
            return await _post(work, known, known.newest)


def _is_again(work: Work) -> bool:
    return bool(work.job.arguments.get("again"))


async def _load(work: Work) -> Known | None:
    ids = work.installation_id, work.repository_id
    async with work.parts.database.read() as connection:
        installation = await load_installation(connection, work.installation_id)
        memory = await load_repository(connection, *ids)
        if installation is None or memory is None:
            return None
        posted = await newest_posted(connection, *ids, SCREEN_CHECK)
        return Known(
            installation=installation,
            memory=memory,
            newest=await newest_screening(connection, *ids),
            posted=posted,
            posted_screening=None
            if posted is None
            else await load_screening(connection, work.installation_id, posted.screening_id),
            unposted=await unposted_check_run(connection, *ids, SCREEN_CHECK),
        )


async def _adopt(work: Work, known: Known, row: StoredCheckRun) -> bool:
    """A row that GitHub may or may not have heard of: ask. Returns whether it had."""
    client = await work.client(WRITE_CHECKS)
    try:
        found = await client.find_check_run(known.full_name, row.head_sha, row.name, row.external_id)
    except Rejected:  # no such commit any more
        found = None
    async with work.effect() as connection:
        if found is not None:
            await mark_posted(connection, work.installation_id, row.row_id, found, work.now())
        else:
            await forget_unposted(connection, work.installation_id, row.row_id)
    return found is not None


async def _leave(work: Work, known: Known, reason: str) -> Outcome:
    async with work.conclusion(reason) as connection:
        await _answer(connection, work, known)
    return Done()


async def _answer(connection: Any, work: Work, known: Known) -> None:
    """The pushes that were known when the head was asked for are answered by it."""
    if _is_again(work):
        due_at = posting.settled_at(known.memory)
        if due_at is not None:  # a push waits still: the answer to somebody's click was not its own
            await request_job(
                connection, work.installation_id, work.repository_id, "post", work.now(), not_before=due_at
            )
    else:
        await answer_push(connection, work.installation_id, work.repository_id, known.memory.pushed_head)


async def _post(work: Work, known: Known, newest: StoredScreening) -> Outcome:
    client = await work.client(WRITE_CHECKS)
    head_sha = str(work.job.arguments.get("head_sha", "")) if _is_again(work) else ""
    head_sha = head_sha or await client.head(known.full_name, known.memory.repository.default_branch)
    if not head_sha:
        return await _leave(work, known, "there is no commit to post it on")
    if _is_there(known, newest, head_sha) and not _is_again(work):
        return await _leave(work, known, "it is there already")
    fields = screen_check(newest, await _situation(work, known, client, newest, head_sha))
    await _turn_off_suites(work, known, client)
    row = await _reserve(work, newest, fields)
    if isinstance(row, Later):
        return row
    check_run_id = await _create(work, known, client, replace(fields, external_id=row.external_id), row)
    if check_run_id is None:
        return await _leave(work, known, "that commit is not of this repository")
    async with work.conclusion() as connection:
        await mark_posted(connection, work.installation_id, row.row_id, check_run_id, work.now())
        await _answer(connection, work, known)
    return Done()


async def _situation(
    work: Work, known: Known, client: InstallationClient, newest: StoredScreening, head_sha: str
) -> Situation:
    policy, repository = work.parts.policy, known.memory.repository
    if newest.ranking is not None and repository.private and not policy.publish_ranking:
        # It may have become public and the delivery that says so be on its way: what is posted cannot be taken back.
        now = await client.repository(known.full_name, work.repository_id)
        repository = replace(repository, private=now.private)
    return Situation(
        repository=repository,
        head_sha=head_sha,
        external_id="",
        publish_ranking=policy.publish_ranking,
        web_url=policy.web_url,
    )


def _is_there(known: Known, newest: StoredScreening, head_sha: str) -> bool:
    posted = known.posted
    return posted is not None and (posted.screening_id, posted.head_sha) == (newest.screening_id, head_sha)


async def _turn_off_suites(work: Work, known: Known, client: InstallationClient) -> None:
    """Once a repository, or GitHub makes an empty check suite for every push. No verdict fails for want of it."""
    if known.memory.suites_off:
        return
    try:
        await client.turn_off_suites(known.full_name, work.parts.app_id())
    except (Forbidden, NotFound, Rejected) as problem:
        log.info("suites_stay_on", problem=type(problem).__name__)
    async with work.effect() as connection:
        await note_suites_off(connection, work.installation_id, work.repository_id)


async def _reserve(work: Work, newest: StoredScreening, fields: CheckRunFields) -> StoredCheckRun | Later:
    """A place in the installation's pace, and the row; or when there is a place, for this job and its like."""
    installation_id, now = work.installation_id, work.now()
    pace = functools.partial(next_write, slack=ON_THE_WAY)
    async with work.effect() as connection:
        free_at = await reserve_write(connection, installation_id, now, pace)
        if free_at is not None:
            await delay_jobs(connection, installation_id, "post", free_at)
            return Later(free_at, "GitHub's limit on writes")
        return await make_check_run(
            connection,
            installation_id,
            work.repository_id,
            fields.name,
            fields.head_sha,
            newest.screening_id,
            fields.conclusion,
            now,
        )


async def _create(
    work: Work, known: Known, client: InstallationClient, fields: CheckRunFields, row: StoredCheckRun
) -> int | None:
    """GitHub's number for it; None where a commit that somebody clicked on is not there any more.

    Where GitHub refused, nothing was written and the row goes; where it did not answer the row stays, to be looked for.
    """
    try:
        return await client.create_check_run(known.full_name, fields)
    except (Forbidden, NotFound, Rejected) as problem:
        async with work.effect() as connection:
            await forget_unposted(connection, work.installation_id, row.row_id)
        if isinstance(problem, Rejected) and _is_again(work):
            return None
        raise
