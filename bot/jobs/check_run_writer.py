"""Write one completed check run: counted, remembered, then sent.

The row is there before GitHub is told, so a worker that dies in between leaves something to look for: the next one asks
GitHub for a check run with its `external_id` and writes only where there is none.
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
from bot.store.check_runs import forget_unposted, make_check_run, mark_posted
from bot.store.content_writes import reserve_write
from bot.store.jobs import delay_jobs

ON_THE_WAY: Final = timedelta(seconds=10)  # a request may arrive so much later than it was counted


async def adopt(context: JobContext, full_name: str, row: StoredCheckRun) -> bool:
    """A row that GitHub may or may not have heard of: ask. Returns whether it had; where not, the row goes."""
    client = await context.client(WRITE_CHECKS)
    try:
        found = await client.find_check_run(full_name, row.head_sha, row.name, row.external_id)
    except Rejected:  # no such commit any more
        found = None
    async with context.effect() as connection:
        if found is not None:
            await mark_posted(connection, context.installation_id, row.row_id, found, context.now())
        else:
            await forget_unposted(connection, context.installation_id, row.row_id)
    return found is not None


async def reserve(
    context: JobContext, fields: CheckRunFields, *, screening_id: int = 0, run_id: int = 0
) -> StoredCheckRun | Later:
    """A place in the installation's pace, and the row; or when there is a place, for this job and its like."""
    installation_id, now = context.installation_id, context.now()
    pace = functools.partial(next_write, slack=ON_THE_WAY)
    async with context.effect() as connection:
        free_at = await reserve_write(connection, installation_id, now, pace)
        if free_at is not None:
            await delay_jobs(connection, installation_id, context.job.kind, free_at)
            return Later(free_at, "GitHub's limit on writes")
        return await make_check_run(
            connection,
            installation_id,
            context.repository_id,
            fields.name,
            fields.head_sha,
            screening_id,
            fields.conclusion,
            now,
            run_id=run_id,
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
    """GitHub's number for it; None where the commit is not there any more, if that may be.

    Where GitHub refused, nothing was written and the row goes; where it did not answer the row stays, to be looked for.
    """
    try:
        return await client.create_check_run(full_name, fields)
    except (Forbidden, NotFound, Rejected) as problem:
        async with context.effect() as connection:
            await forget_unposted(connection, context.installation_id, row.row_id)
        if isinstance(problem, Rejected) and commit_may_be_gone:
            return None
        raise
