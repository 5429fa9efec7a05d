"""Write one completed check run exactly once: reserve a write, save a row, then send it.

The row is saved before the request, so that after a crash the next worker asks GitHub for a check run with its
`external_id` and writes one only if none exists.
"""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Final

from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, NotFound, Rejected
from bot.github.rate_limits import next_write
from bot.jobs.context import WRITE_CHECKS, JobContext, Later
from bot.records import CheckRunFields, StoredCheckRun
from bot.store.check_runs import create_check_run, forget_unposted, mark_posted
from bot.store.content_writes import reserve_write
from bot.store.jobs import delay_jobs

MAX_DELAY: Final = timedelta(seconds=10)  # between counting a request and its arrival at GitHub


async def adopt(context: JobContext, full_name: str, row: StoredCheckRun) -> bool:
    """Ask GitHub whether it has the check run of an unposted row. Mark the row posted and return True, or delete it."""
    client = await context.client(WRITE_CHECKS)
    try:
        check_run_id = await client.find_check_run(full_name, row.head_sha, row.name, row.external_id)
    except Rejected:  # the commit is gone
        check_run_id = None
    async with context.effect() as connection:
        if check_run_id is not None:
            await mark_posted(connection, context.installation_id, row.row_id, check_run_id, context.now())
        else:
            await forget_unposted(connection, context.installation_id, row.row_id)
    return check_run_id is not None


async def reserve(
    context: JobContext, fields: CheckRunFields, *, screening_id: int | None = None, run_id: int | None = None
) -> StoredCheckRun | Later:
    """Count a write against the installation's rate limit and save the row, or return when a write will be allowed."""
    installation_id, now = context.installation_id, context.now()
    pace = functools.partial(next_write, slack=MAX_DELAY)
    async with context.effect() as connection:
        free_at = await reserve_write(connection, installation_id, now, pace)
        if free_at is not None:
            await delay_jobs(connection, installation_id, context.job.kind, free_at)
            return Later(free_at, "GitHub's limit on writes")
        return await create_check_run(
            connection,
            installation_id,
            context.repository_id,
            fields.name,
            fields.head_sha,
            screening_id or 0,
            fields.conclusion,
            now,
            run_id=run_id or 0,
        )


async def create(
    context: JobContext,
    full_name: str,
    client: InstallationClient,
    fields: CheckRunFields,
    row: StoredCheckRun,
    *,
    commit_may_be_gone: bool,
) -> int | None:
    """Send the check run and return GitHub's id; None if `commit_may_be_gone` and it is.

    If GitHub refused, the row is deleted; if it did not respond, the row stays for `adopt`.
    """
    try:
        return await client.create_check_run(full_name, fields)
    except (Forbidden, NotFound, Rejected) as error:
        async with context.effect() as connection:
            await forget_unposted(connection, context.installation_id, row.row_id)
        if isinstance(error, Rejected) and commit_may_be_gone:
            return None
        raise
