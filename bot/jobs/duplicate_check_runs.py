"""Leave one check run standing where GitHub has two of the same row.

GitHub has no idempotency key: a worker that froze with its request on the way is replaced, and both requests arrive.
GitHub shows the newest check run of a name, and deletes none. So the newest stands, and the others say that it does.
"""

from __future__ import annotations

import structlog

from bot.github.errors import Rejected
from bot.jobs.context import WRITE_CHECKS, Done, JobContext, Outcome
from bot.messages.check_run import superseded_check
from bot.store.check_runs import load_check_run, replace_posted
from bot.store.installations import load_installation
from bot.store.repositories import load_repository

log = structlog.get_logger(__name__)


async def withdraw_duplicates(context: JobContext, row_id: int) -> Outcome:
    """Look for check runs with the external id of this row, and supersede all but the newest."""
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, context.installation_id, context.repository_id)
        row = await load_check_run(connection, context.installation_id, row_id)
    if installation is None or memory is None or row is None or row.repository_id != context.repository_id:
        return Done("no such check run")
    if installation.state != "active" or memory.repository.archived:
        return Done("not served")
    client, full_name = await context.client(WRITE_CHECKS), memory.repository.full_name
    try:
        stands, *others = await client.find_check_runs(full_name, row.head_sha, row.name, row.external_id) or [0]
    except Rejected:  # the commit is gone
        return Done("no such commit")
    if not others:
        return Done("there is no duplicate")
    for check_run_id in others:
        await client.update_check_run(full_name, check_run_id, superseded_check(row))
    log.info("duplicates_withdrawn", check_runs=len(others))
    async with context.conclusion("duplicates withdrawn") as connection:
        await replace_posted(connection, context.installation_id, row.row_id, stands)
    return Done()
