"""Write one completed check run exactly once: reserve a write, save a row, then send it.

The row is saved before the request, so that after a crash the next worker asks GitHub for a check run with its
`external_id`. If there is none it sends the same row again. The first request may still be on its way, so a job looks
for duplicates afterwards (duplicate_check_runs).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, NotFound, Rejected
from bot.github.rate_limits import next_write
from bot.jobs.arguments import DuplicateCheckRuns, request
from bot.jobs.context import WRITE_CHECKS, JobContext, Later
from bot.records import CheckRunFields, StoredCheckRun
from bot.store.check_runs import create_check_run, forget_unposted, mark_posted, unposted_check_runs
from bot.store.content_writes import reserve_write
from bot.store.database import Connection
from bot.store.jobs import LostLease, delay_jobs
from bot.store.repositories import load_repository

MAX_DELAY: Final = timedelta(seconds=10)  # between counting a request and its arrival at GitHub
ON_ITS_WAY: Final = timedelta(seconds=30)  # as long as a request of a worker that froze or died may take to arrive
UNKNOWN_FOR: Final = timedelta(hours=1)  # then GitHub never got it


@dataclass(frozen=True, slots=True)
class Reserved:
    """A row to send. `sent_before`: an earlier request with it got no response, and GitHub does not have it yet."""

    row: StoredCheckRun
    sent_before: bool


async def adopt(context: JobContext, full_name: str, rows: Iterable[StoredCheckRun]) -> list[StoredCheckRun]:
    """Ask GitHub for the check run of each unposted row. Mark those that it has as posted, and return them."""
    adopted: list[StoredCheckRun] = []
    for row in rows:
        client = await context.client(WRITE_CHECKS)
        try:
            found = await client.find_check_runs(full_name, row.head_sha, row.name, row.external_id)
        except Rejected:  # the commit is gone
            found = []
        async with context.effect() as connection:
            if found:
                await mark_posted(connection, context.installation_id, row.row_id, found[0], context.now())
                adopted.append(row)
            elif context.now() - row.made_at > UNKNOWN_FOR:
                await forget_unposted(connection, context.installation_id, row.row_id)
    return adopted


async def reserve(
    context: JobContext,
    fields: CheckRunFields,
    *,
    screening_id: int | None = None,
    run_id: int | None = None,
    again: bool = False,
) -> Reserved | Later:
    """Count a write against the installation's rate limit and save a row, or return when a write will be allowed.

    An unposted row of the same subject is used again, so that a duplicate has the same external id.
    """
    installation_id, now = context.installation_id, context.now()
    pace = functools.partial(next_write, slack=MAX_DELAY)
    async with context.effect() as connection:
        free_at = await reserve_write(connection, installation_id, now, pace)
        if free_at is not None:
            await delay_jobs(connection, installation_id, context.job.kind, free_at)
            return Later(free_at, "GitHub's limit on writes")
        subject = fields.head_sha, screening_id or 0, run_id or 0, fields.conclusion, again
        for row in await unposted_check_runs(connection, installation_id, context.repository_id, fields.name):
            if subject == (row.head_sha, row.screening_id, row.run_id, row.conclusion, row.again):
                return Reserved(row, sent_before=True)
        made = await create_check_run(
            connection,
            installation_id,
            context.repository_id,
            fields.name,
            fields.head_sha,
            screening_id or 0,
            fields.conclusion,
            now,
            run_id=run_id or 0,
            again=again,
        )
        return Reserved(made, sent_before=False)


async def create(
    context: JobContext,
    full_name: str,
    client: InstallationClient,
    fields: CheckRunFields,
    reserved: Reserved,
    *,
    commit_may_be_gone: bool,
) -> int | None:
    """Send the check run and return GitHub's id; None if `commit_may_be_gone` and it is.

    If GitHub refused, the row is deleted; if it did not respond, the row stays for the next attempt.
    """
    try:
        return await client.create_check_run(full_name, fields)
    except (Forbidden, NotFound, Rejected) as error:
        async with context.effect() as connection:
            await forget_unposted(connection, context.installation_id, reserved.row.row_id)
        if isinstance(error, Rejected) and commit_may_be_gone:
            return None
        raise
    except asyncio.CancelledError:  # perhaps another worker holds the job: this request may arrive after its own
        await _look_for_duplicates(context, reserved.row, ON_ITS_WAY)
        raise


@contextlib.asynccontextmanager
async def conclusion(context: JobContext, reserved: Reserved, check_run_id: int) -> AsyncIterator[Connection]:
    """Open the transaction that marks the row as posted and finishes the job."""
    row = reserved.row
    try:
        async with context.conclusion() as connection:
            await mark_posted(connection, context.installation_id, row.row_id, check_run_id, context.now())
            if reserved.sent_before:
                await _request_look(connection, context, row, ON_ITS_WAY)
            yield connection
    except LostLease:  # whoever holds the job now may have sent the same row
        await _look_for_duplicates(context, row, timedelta(0))
        raise


async def _look_for_duplicates(context: JobContext, row: StoredCheckRun, delay: timedelta) -> None:
    """Request the look without the job's lease, which may be lost. It changes nothing where there is no duplicate."""
    async with context.parts.database.write() as connection:
        if await load_repository(connection, context.installation_id, context.repository_id) is not None:
            await _request_look(connection, context, row, delay)


async def _request_look(connection: Connection, context: JobContext, row: StoredCheckRun, delay: timedelta) -> None:
    ids, now = (context.installation_id, context.repository_id), context.now()
    await request(connection, *ids, DuplicateCheckRuns(row.row_id), now, not_before=now + delay, later=True)
